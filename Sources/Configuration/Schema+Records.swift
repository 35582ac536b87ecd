internal import NetworkTypes

/// The keys of records within a value.
extension Schema where Root == Settings.RealmSection {
  static var realm: Schema {
    Schema(
      fields: [
        Field("users", \.users, .users, "static users, name to password"),
        Field("secrets", \.secrets, .list(.secret("a secret")), "shared secrets of time-limited credentials"),
        Field("store", \.store, .store, "database of users and secrets; empty: none"),
        Field(
          "server-names", \.serverNames, .list(.text("a server name", bytes: 1...255, example: "turn.example.org")),
          "server names (SNI) that mean this realm"),
      ] + Schema<Settings.LimitsSection>.limits.fields.map { $0.within(\.limits, prefix: "limits.") })
  }
}

extension Schema where Root == Settings.OAuthKey {
  static var oauthKey: Schema {
    Schema(fields: [
      Field("id", \.id, .text("an id", bytes: 1...255, example: "k1"), "the key id (kid) that clients name"),
      Field("key", \.key, .keyBytes, "Base64: 32 bytes for A256GCM, 16 for A128GCM"),
      Field("algorithm", \.algorithm, .choice, "cipher of the tokens"),
      Field("not-after", \.notAfter, .timestamp, "time after which the key is refused"),
    ])
  }
}

extension Schema where Root == Settings.CertificatePair {
  static var certificatePair: Schema {
    Schema(fields: [
      Field("certificate", \.certificate, .path(example: "/etc/turnpike/other.pem"), "path of a PEM chain"),
      Field("private-key", \.privateKey, .path(example: "/etc/turnpike/other.key"), "path of its private key in PEM"),
    ])
  }
}

extension Settings.CertificatePair {
  /// The missing part, and a correction.
  var wrong: (message: String, suggestion: String)? {
    if certificate.isEmpty { return ("has no certificate", "write certificate: PATH") }
    return privateKey.isEmpty ? ("has no private-key", "write private-key: PATH") : nil
  }
}
