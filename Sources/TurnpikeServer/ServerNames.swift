internal import Configuration

/// Which realm a TLS or DTLS client's server name (SNI, RFC 6066 section 3) stands for.
struct ServerNames: Sendable {
  private var realms: [String: UInt8] = [:]

  /// - Parameter names: of the realms, in the order of their numbers.
  init(_ settings: Settings, realms names: [String]) {
    for (number, name) in names.enumerated() {
      for serverName in settings.realms[name]?.serverNames ?? [] {
        realms[serverName.lowercased()] = UInt8(truncatingIfNeeded: number)
      }
    }
  }

  var isEmpty: Bool { realms.isEmpty }

  /// The realm of a name: its own, or that of `*` with everything behind its first label.
  func realm(of serverName: String?) -> UInt8? {
    guard !realms.isEmpty, let name = serverName?.lowercased() else { return nil }
    if let exact = realms[name] { return exact }
    guard let dot = name.firstIndex(of: ".") else { return nil }
    return realms["*" + name[dot...]]
  }
}
