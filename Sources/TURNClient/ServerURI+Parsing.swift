internal import NetworkTypes

extension ServerURI {
  /// The reason why a text is not a STUN or TURN URI, as a sentence for the user.
  public struct ParsingError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// Limit of the text's length.
  private static let lengthLimit = 1024

  /// Reads a URI, or a bare `HOST[:PORT]` as `stun:` (an IPv6 address without a port needs no brackets).
  public init(parsing text: String) throws(ParsingError) {
    guard text.utf8.count <= Self.lengthLimit else { throw ParsingError(description: "the URI is too long") }
    // Searches the whole text, because a password may contain any character.
    guard !text.contains("@") else {
      throw ParsingError(description: "a URI has no user name: use --username")
    }
    if let colon = text.firstIndex(of: ":"), let scheme = Scheme(rawValue: text[..<colon].lowercased()) {
      try self.init(scheme: scheme, rest: text[text.index(after: colon)...])
      return
    }
    for scheme in ["http", "https", "ws", "wss"] where text.lowercased().hasPrefix(scheme + "://") {
      throw ParsingError(description: "\"\(scheme):\" is no STUN or TURN URI; try stun:HOST or turn:HOST")
    }
    if let (address, zone) = Self.addressAndZone(text[...]) {
      self.init(scheme: .stun, host: .address(address))
      self.zone = zone
      return
    }
    try self.init(scheme: .stun, rest: text[...])
    // A bare host is not a URI, so hints about the URI form do not apply.
    hints = []
  }

  /// Prepares a mistyped URI for messages: masks a user name and password before the host.
  public static func masked(_ text: String) -> String {
    guard let at = text.lastIndex(of: "@") else { return text }
    let schemes = Scheme.allCases.map(\.rawValue) + ["http", "https", "ws", "wss"]
    let scheme = schemes.first { text.lowercased().hasPrefix($0 + ":") }
    return (scheme.map { $0 + ":" } ?? "") + "***" + text[at...]
  }

  private init(scheme: Scheme, rest: Substring) throws(ParsingError) {
    var rest = rest
    var hints: [String] = []
    if rest.hasPrefix("//") {
      rest = rest.dropFirst(2)
      // A slash at the end is part of the same mistake; any other path is an error.
      if rest.hasSuffix("/") { rest = rest.dropLast() }
      hints.append("\(scheme.rawValue): URIs have no \"//\" (RFC 7065): \(scheme.rawValue):\(rest)")
    }
    var query: Substring?
    if let mark = rest.firstIndex(of: "?") {
      query = rest[rest.index(after: mark)...]
      rest = rest[..<mark]
    }
    let (host, zone, port) = try Self.hostAndPort(rest)
    self.init(scheme: scheme, host: host, port: port)
    self.zone = zone
    self.hints = hints
    if let query { try read(query: query) }
  }

  private static func hostAndPort(_ text: Substring) throws(ParsingError) -> (Host, String?, UInt16?) {
    var host = text
    var port: Substring?
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { throw ParsingError(description: "\"[\" without \"]\"") }
      host = text[text.index(after: text.startIndex)..<end]
      let tail = text[text.index(after: end)...]
      guard let (address, zone) = addressAndZone(host), address.family == .ipv6 else {
        throw ParsingError(description: "\"\(host)\" is no IPv6 address")
      }
      guard tail.isEmpty || tail.hasPrefix(":") else {
        throw ParsingError(description: "\"\(tail)\" after the address is no port")
      }
      return (.address(address), zone, tail.isEmpty ? nil : try readPort(tail.dropFirst()))
    }
    if let colon = text.firstIndex(of: ":") {
      host = text[..<colon]
      port = text[text.index(after: colon)...]
      if port?.contains(":") == true {
        throw ParsingError(description: "an IPv6 address needs brackets: [\(text)]")
      }
    }
    let number: UInt16? = if let port { try readPort(port) } else { nil }
    if let address = IPAddress(host) { return (.address(address), nil, number) }
    guard isName(host) else {
      throw ParsingError(
        description: host.isEmpty
          ? "there is no host"
          : "\"\(host)\" is neither a host name nor an address"
            + (host.utf8.contains { $0 >= 0x80 } ? "; international names are written in ASCII (xn--…)" : ""))
    }
    return (.name(String(host)), nil, number)
  }

  /// An address and its zone. Only link-local IPv6 addresses have one, after a % (in URIs %25, RFC 6874).
  private static func addressAndZone(_ text: Substring) -> (IPAddress, String?)? {
    guard let percent = text.firstIndex(of: "%") else { return IPAddress(text).map { ($0, nil) } }
    var zone = text[text.index(after: percent)...]
    if zone.hasPrefix("25"), zone.utf8.count > 2 { zone = zone.dropFirst(2) }
    let isName =
      (1...15).contains(zone.utf8.count)
      && zone.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
    guard isName, let address = IPAddress(text[..<percent]), address.family == .ipv6, address.high >> 54 == 0xFE80 >> 6
    else { return nil }
    return (address, String(zone))
  }

  private static func readPort(_ text: Substring) throws(ParsingError) -> UInt16 {
    guard let port = UInt16(decimalDigits: text), port > 0 else {
      throw ParsingError(description: "\"\(text)\" is no port (1 to 65535)")
    }
    return port
  }

  /// Whether the text is a host name: labels of 1 to 63 letters, digits, dashes and underscores, 253 bytes in all; a
  /// final dot is allowed. A name whose last label is all digits is a mistyped address.
  private static func isName(_ text: Substring) -> Bool {
    let name = text.hasSuffix(".") ? text.dropLast() : text
    let labels = name.split(separator: ".", omittingEmptySubsequences: false)
    guard name.utf8.count <= 253, let last = labels.last, Int(last) == nil else { return false }
    return labels.allSatisfy { label in
      (1...63).contains(label.utf8.count)
        && label.utf8.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
          case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
          default: false
          }
        }
    }
  }

  private mutating func read(query: Substring) throws(ParsingError) {
    for parameter in query.split(separator: "&") {
      let parts = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, parts[0].lowercased() == "transport" else {
        throw ParsingError(description: "\"\(parameter)\": the only parameter is transport=udp or transport=tcp")
      }
      switch parts[1].lowercased() {
      case "udp": transportParameter = .udp
      case "tcp": transportParameter = .tcp
      case "tls":
        transportParameter = .tcp
        if !scheme.isSecure { scheme = scheme == .turn ? .turns : .stuns }
        hints.append("transport=tls is not in RFC 7065; TLS is written \(scheme.rawValue):\(host)?transport=tcp")
      default:
        throw ParsingError(description: "\"\(parts[1])\" is no transport: udp or tcp")
      }
    }
    if !scheme.isTURN, transportParameter != nil {
      hints.append("stun: URIs have no ?transport= (RFC 7064); it is used nevertheless")
    }
  }
}
