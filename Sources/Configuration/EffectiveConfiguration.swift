internal import NetworkTypes

extension Configuration {
  /// The configuration as a file, with every key that has an effect. Reading this file gives the same configuration.
  ///
  /// A secret that was given as `file:PATH` or `env:NAME` is written in that form. Any other secret is written as
  /// `<redacted>`, which the reader refuses.
  ///
  /// - Parameters:
  ///   - hasIPv6: whether this host has IPv6, for the default listeners.
  ///   - showsSecrets: whether secrets are written.
  public func effectiveYAML(hasIPv6: Bool = true, showsSecrets: Bool = false) -> String {
    settings.effectiveYAML(hasIPv6: hasIPv6, showsSecrets: showsSecrets, references: references)
  }
}

extension Settings {
  /// The settings as a file. Every secret without a reference is `<redacted>`, unless `showsSecrets`.
  ///
  /// - Parameter references: for the text of a secret, the value that names it: `file:PATH`, `env:NAME`.
  public func effectiveYAML(
    hasIPv6: Bool = true, showsSecrets: Bool = false, references: [String: String] = [:]
  ) -> String {
    var schema = Schema.settings
    schema.fields.removeAll { Settings.missingKeys.contains($0.path) }
    var effective = self
    effective.listeners =
      listeners ?? effectiveListeners.filter { hasIPv6 || $0.address.family == .ipv4 }
    let output = schema.write(effective).replacingSecrets { secret, shown in
      references[secret] ?? (showsSecrets ? secret : shown)
    }
    return output.document()
  }
}

/// One key of the configuration, for `turnpike help configuration`.
public struct ConfigurationKey: Sendable {
  /// The dotted path: `auth.nonce-lifetime`.
  public var path: String
  /// The environment variable that sets it.
  public var environmentName: String
  /// Its type and range as text.
  public var expectation: String
  /// Its default, as YAML.
  public var defaultValue: String
  /// Its purpose.
  public var summary: String
  /// When a new value takes effect in a running server.
  public var takesEffect: Effect
  /// Whether this version lacks the key's feature and refuses every value except the default.
  public var isMissing: Bool

  /// Every key, in the order of the documentation.
  public static var all: [ConfigurationKey] {
    let defaults = Settings()
    return Schema.settings.fields.map { field in
      ConfigurationKey(
        path: field.path, environmentName: field.environmentName, expectation: field.expectation,
        defaultValue: field.write(defaults).inlineText, summary: field.summary, takesEffect: field.takesEffect,
        isMissing: Settings.missingKeys.contains(field.path))
    }
  }
}
