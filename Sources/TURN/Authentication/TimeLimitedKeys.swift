internal import NetworkTypes

/// A cache of the keys of verified time-limited names: each shared secret that is tried costs several hashes. It holds
/// at most 1,024 names of each realm; then it is emptied.
struct TimeLimitedKeys {
  private static let limit = 1024
  private var realms: [RealmID: [[UInt8]: CredentialKeys]] = [:]

  func find(_ name: [UInt8], realm: RealmID) -> CredentialKeys? { realms[realm]?[name] }

  mutating func remember(_ name: [UInt8], realm: RealmID, _ keys: CredentialKeys) {
    if realms[realm, default: [:]].count >= Self.limit { realms[realm] = [:] }
    realms[realm, default: [:]][name] = keys
  }

  mutating func forgetAll() { realms.removeAll() }
}
