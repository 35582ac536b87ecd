internal import NetworkTypes

extension Settings {
  /// Features that this version does not have: a configuration that uses one is refused. Remove a feature's line when
  /// it is implemented.
  private static var features: [UnsupportedFeature] {
    [
      UnsupportedFeature("auth.store", "store except sqlite:", remedy: "use sqlite:turnpike.db, or \"\" for none") {
        !$0.auth.store.isEmpty && !$0.auth.store.hasPrefix("sqlite:")
      },
      UnsupportedFeature("realms", "store except sqlite:", remedy: "use sqlite:turnpike.db, or \"\" for none") {
        settings in
        settings.realms.values.contains { !$0.store.isEmpty && !$0.store.hasPrefix("sqlite:") }
      },
    ]
  }

  /// Keys without effect in this version, which refuses every value except the default.
  static let missingKeys: Set<String> = []

  /// One error for each key that uses a missing feature.
  public var unsupportedFeatures: [ConfigurationProblem] {
    Self.features.filter { $0.isAskedFor(self) }.map { feature in
      ConfigurationProblem(
        key: feature.key, "this version of Turnpike has no \(feature.name)", suggestion: feature.remedy)
    }
  }
}

private struct UnsupportedFeature {
  var key: String
  var name: String
  var remedy: String
  var isAskedFor: (Settings) -> Bool

  init(
    _ key: String, _ name: String, remedy: String = "remove it, or switch it off",
    isAskedFor: @escaping (Settings) -> Bool
  ) {
    self.key = key
    self.name = name
    self.remedy = remedy
    self.isAskedFor = isAskedFor
  }
}
