extension Settings {
  /// These settings as a configuration file: every key, secrets as `<redacted>`.
  public var effectiveYAML: String { Schema.settings.write(self).document() }
}

/// One key of the configuration, for people: what `turnpike help configuration` prints.
public struct ConfigurationKey: Sendable {
  /// The dotted path: `auth.nonce-lifetime`.
  public var path: String
  /// The environment variable that sets it.
  public var environmentName: String
  /// Its type and range, in words.
  public var expectation: String
  /// Its default, as YAML.
  public var defaultValue: String
  /// What it is for.
  public var summary: String

  /// Every key there is, in the order of the documentation.
  public static var all: [ConfigurationKey] {
    let defaults = Settings()
    return Schema.settings.fields.map { field in
      ConfigurationKey(
        path: field.path, environmentName: field.environmentName, expectation: field.expectation,
        defaultValue: field.write(defaults).inlineText, summary: field.summary)
    }
  }
}
