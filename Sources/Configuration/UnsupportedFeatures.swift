internal import NetworkTypes

extension Settings {
  /// What this version of the program does not have: each is refused while it is asked for. A feature that lands
  /// takes its line with it.
  private static var features: [UnsupportedFeature] {
    [
      UnsupportedFeature("listeners", "the PROXY protocol") { $0.hasListener { $0.proxyProtocol } },
      UnsupportedFeature("tls.client-ca", "client certificates") { !$0.tls.clientCA.isEmpty },
      UnsupportedFeature("auth.store", "any store but sqlite:") {
        !$0.auth.store.isEmpty && !$0.auth.store.hasPrefix("sqlite:")
      },
      UnsupportedFeature("realms", "any store but sqlite:") { settings in
        settings.realms.values.contains { !$0.store.isEmpty && !$0.store.hasPrefix("sqlite:") }
      },
      UnsupportedFeature("realms", "limits of bandwidth for users and whole realms") { settings in
        settings.realms.values.contains { $0.limits.bandwidth != 0 || $0.limits.bandwidthPerUser != 0 }
      },
      UnsupportedFeature("limits.bandwidth-per-user", "limits of bandwidth") { $0.limits.bandwidthPerUser != 0 },
      UnsupportedFeature("limits.bandwidth", "limits of bandwidth") { $0.limits.bandwidth != 0 },
      UnsupportedFeature("admin.listen", "the admin endpoint", remedy: "write listen: \"\", or remove the key") {
        $0.admin.listen != nil && $0.admin.listen != Settings().admin.listen
      },
      UnsupportedFeature("admin.token", "the admin endpoint") { !$0.admin.token.isEmpty },
      UnsupportedFeature("admin.demo", "the admin endpoint") { $0.admin.demo },
    ]
  }

  /// One error for each key that asks for a feature which this version does not have.
  public var unsupportedFeatures: [ConfigurationProblem] {
    Self.features.filter { $0.isAskedFor(self) }.map { feature in
      ConfigurationProblem(
        key: feature.key, "this version of Turnpike does not have \(feature.name)", suggestion: feature.remedy)
    }
  }

  private func hasListener(_ predicate: (Listener) -> Bool) -> Bool { listeners?.contains(where: predicate) ?? false }
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
