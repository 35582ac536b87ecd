internal import Configuration
internal import TURN

/// Maps the server name of a TLS or DTLS client (SNI, RFC 6066 section 3) to a realm.
struct ServerNames: Sendable {
  private var realms: [String: RealmID] = [:]

  /// - Parameter names: the names of the realms, in the order of their numbers.
  init(_ settings: Settings, realms names: [String]) {
    for (number, name) in names.enumerated() {
      for serverName in settings.realms[name]?.serverNames ?? [] {
        realms[serverName.lowercased()] = RealmID(rawValue: UInt8(truncatingIfNeeded: number))
      }
    }
  }

  var isEmpty: Bool { realms.isEmpty }

  /// The realm of a name, or of the wildcard for its domain (`*` in place of the first label).
  func realm(of serverName: String?) -> RealmID? {
    guard !realms.isEmpty, let name = serverName?.lowercased() else { return nil }
    if let exact = realms[name] { return exact }
    guard let dot = name.firstIndex(of: ".") else { return nil }
    return realms["*" + name[dot...]]
  }
}
