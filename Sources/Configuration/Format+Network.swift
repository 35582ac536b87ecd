package import NetworkTypes
internal import StringPreparation
internal import TURN

extension Format where Value == IPAddress {
  /// A single address for a socket or for clients: neither `0.0.0.0` nor `::`.
  static var address: Format {
    scalar(
      "an IP address (no name, and neither 0.0.0.0 nor ::)", example: "192.0.2.10",
      parse: { IPAddress($0.unbracketed).flatMap { $0.isUnspecified ? nil : $0 } }, write: { .text($0.description) }
    ).reachable { $0 }.refusingZones
  }
}

extension Format where Value == SocketAddress? {
  /// `IP:PORT` or `[IPv6]:PORT`; empty: none.
  static var socketAddress: Format {
    scalar(
      "IP:PORT or [IPv6]:PORT (\"\": none)", example: "\"192.0.2.10:3478\"", nearest: nearestSocketAddress,
      parse: { text in
        if text.isEmpty { return .some(nil) }
        return SocketAddress(text).flatMap { $0.port == 0 ? nil : .some($0) }
      },
      write: { .text($0?.description ?? "") }
    ).reachable { $0?.address }.refusingZones
  }

  /// A suggestion for IPv6 without brackets.
  fileprivate static func nearestSocketAddress(_ text: String) -> String? {
    guard let colon = text.lastIndex(of: ":"), text[..<colon].contains(":"), !text.contains("["),
      let port = UInt16(decimalDigits: text[text.index(after: colon)...]), port != 0,
      let address = IPAddress(text[..<colon])
    else { return nil }
    return "\"\(SocketAddress(address, port: port))\""
  }
}

extension Format where Value == AdminAddress {
  /// `IP:PORT`, `[IPv6]:PORT` or `unix:/PATH`; empty: none.
  static var adminAddress: Format {
    scalar(
      "IP:PORT, [IPv6]:PORT or unix:/PATH (\"\": none)", example: "127.0.0.1:8478",
      nearest: { text in
        text.hasPrefix("/") ? "unix:\(text)" : Format<SocketAddress?>.nearestSocketAddress(text)
      },
      parse: { AdminAddress($0) }, write: { .text($0.description) }
    ).reachable { $0.address?.address }.refusingZones
  }
}

extension Format where Value == AlternateServer? {
  /// The server for redirection: `IP` or `IP:PORT`; empty: none.
  static var alternateServer: Format {
    scalar(
      "IP:PORT, [IPv6]:PORT or an IP address (\"\": none)", example: "192.0.2.20:3478",
      parse: { text in
        if text.isEmpty { return .some(nil) }
        let server =
          SocketAddress(text).map { AlternateServer($0.address, port: $0.port == 0 ? nil : $0.port) }
          ?? IPAddress(text.unbracketed).map { AlternateServer($0, port: nil) }
        return server.flatMap { $0.address.isUnspecified ? nil : .some($0) }
      },
      write: { .text($0.map(text) ?? "") }
    ).reachable { $0?.address }.refusingZones
  }

  private static func text(_ server: AlternateServer) -> String {
    server.port.map { "\(SocketAddress(server.address, port: $0))" } ?? "\(server.address)"
  }
}

extension Format where Value == String {
  /// A DNS name (RFC 1123 section 2.1); empty: none. An address is refused, because certificates and Firefox need a
  /// name.
  static var hostName: Format {
    scalar(
      "a host name (\"\": none)", example: "turn.example.org",
      parse: { $0.isEmpty || $0.isHostName ? $0 : nil }, write: { .text($0) })
  }
}

extension Format where Value == String {
  /// `http://` or `https://` with a host, without a user.
  static var webURL: Format {
    scalar(
      "a URL with http or https (\"\": none)", example: "https://app.example.org/turn",
      parse: { $0.isEmpty || $0.isWebURL ? $0 : nil }, write: { .text($0) })
  }
}

extension String {
  fileprivate var isWebURL: Bool {
    guard let host = webHost, utf8.count <= 2048 else { return false }
    return !host.isEmpty && !host.contains("@") && utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
  }

  /// The host of a web URL, with its port.
  private var webHost: Substring? {
    guard let scheme = ["http://", "https://"].first(where: { hasPrefix($0) }) else { return nil }
    return dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
  }

  /// The addresses of a web URL whose host is an address or `localhost`; none for another name, which only the web
  /// client looks up.
  package var webAddresses: [SocketAddress] {
    guard let host = webHost else { return [] }
    let port: UInt16 = hasPrefix("https:") ? 443 : 80
    if let address = SocketAddress(String(host)) { return [address] }
    let bare = host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host
    if let address = IPAddress(String(bare)) { return [SocketAddress(address, port: port)] }
    let parts = host.split(separator: ":", maxSplits: 1)
    guard parts.first?.lowercased() == "localhost" else { return [] }
    let number = parts.count > 1 ? UInt16(parts[1]) : port
    return number.map { [SocketAddress(.ipv4Loopback, port: $0), SocketAddress(.ipv6Loopback, port: $0)] } ?? []
  }

  /// Labels of 1 to 63 letters, digits and hyphens, separated by dots; the last one does not begin with a digit, so
  /// that no address is a name.
  var isHostName: Bool {
    let labels = utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard utf8.count <= 253, let last = labels.last?.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(last)
    else { return false }
    return labels.allSatisfy { label in
      guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else {
        return false
      }
      return label.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
          true
        default: false
        }
      }
    }
  }
}

extension Format where Value == CIDRBlock {
  static var block: Format {
    scalar(
      "an address range such as 10.0.0.0/8 or 2001:db8::/32, or an address", example: "10.0.0.0/8",
      nearest: { text in
        // If the address has bits beyond the prefix, the suggestion is the range and the address.
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), let length = Int(decimalDigits: parts[1]),
          length <= address.family.bitCount
        else { return nil }
        return "\(CIDRBlock(address, prefixLength: length)) or \(address)"
      },
      parse: { CIDRBlock($0) }, write: { .text($0.description) }
    ).refusingZones
  }
}

extension Format where Value == ClosedRange<UInt16> {
  /// `FIRST-LAST` or one port, within 1024-65535.
  static var ports: Format {
    scalar(
      "a port range FIRST-LAST (or one port) within 1024-65535", example: "49152-65535",
      parse: { text in
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { part in
          UInt16(decimalDigits: part.trimmingSpaces)
        }
        guard (1...2).contains(parts.count), let first = parts[0], let last = parts.last ?? nil, first <= last,
          first >= 1024
        else { return nil }
        return first...last
      },
      write: { .plain($0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)") })
  }
}

extension Format where Value == Settings.Listener {
  /// `SCHEME://IP:PORT` with its options.
  static var listener: Format {
    let example = "udp://0.0.0.0:3478"
    let expectation = "a listener (SCHEME://IP:PORT, or [IPv6]:PORT)"
    return Format(
      expectation: expectation, example: example,
      read: { raw, context in
        guard let text = raw.scalarText else {
          context.report(
            raw.origin, "takes one value, not \(raw.kind): \(expectation)", suggestion: "write, for example, \(example)"
          )
          return nil
        }
        guard let resolved = context.resolve(text, at: raw.origin) else { return nil }
        do throws(ListenerURI.Wrong) {
          return try ListenerURI.parse(resolved)
        } catch {
          context.report(raw.origin, "\(resolved.quoted) \(error.message)", suggestion: error.suggestion)
          return nil
        }
      },
      write: { .text(ListenerURI.text($0)) }
    ).reachable { $0.address.address }.refusingZones
  }
}

/// The listener URIs of the configuration.
enum ListenerURI {
  struct Wrong: Error {
    var message: String
    var suggestion: String
  }

  static let schemes: [(name: String, transport: TransportProtocol)] = [
    ("udp", .udp), ("tcp", .tcp), ("tls", .tls), ("dtls", .dtls),
  ]

  static func parse(_ text: String) throws(Wrong) -> Settings.Listener {
    guard let mark = text.firstRange(of: "://") else {
      throw Wrong(message: "has no scheme", suggestion: "write, for example, udp://0.0.0.0:3478")
    }
    let name = String(text[..<mark.lowerBound])
    guard let transport = schemes.first(where: { $0.name == name })?.transport else {
      let known = schemes.map(\.name)
      throw Wrong(
        message: "has an unknown scheme",
        suggestion: NearestWord.find(name, among: known).map { "did you mean \($0)://?" }
          ?? "write one of \(known.map { $0 + "://" }.joined(separator: ", "))")
    }
    let parts = text[mark.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let host = parts.first ?? ""
    guard let address = SocketAddress(host), address.port != 0 else {
      throw Wrong(
        message: "has no IP address and port: listeners take no host name and no port 0",
        suggestion: nearest(String(host), name: name, port: transport.defaultPort))
    }
    var listener = Settings.Listener(transport: transport, address: address)
    if parts.count == 2 { try parseOptions(parts[1], into: &listener) }
    return listener
  }

  static func text(_ listener: Settings.Listener) -> String {
    var options: [String] = []
    if let realm = listener.realm { options.append("realm=\(realm)") }
    if listener.proxyProtocol { options.append("proxy-protocol=v2") }
    if !listener.auto { options.append("auto=false") }
    let scheme = schemes.first { $0.transport == listener.transport }?.name ?? ""
    return "\(scheme)://\(listener.address)" + (options.isEmpty ? "" : "?" + options.joined(separator: "&"))
  }

  private static func parseOptions(_ text: Substring, into listener: inout Settings.Listener) throws(Wrong) {
    var seen: Set<Substring> = []
    for option in text.split(separator: "&", omittingEmptySubsequences: false) {
      let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = pair[0]
      let value = pair.count == 2 ? pair[1] : ""
      guard seen.insert(name).inserted else {
        throw Wrong(message: "gives \(String(name).quoted) twice", suggestion: "keep one of the two")
      }
      switch (name, value) {
      case ("realm", let realm) where !realm.isEmpty && !String(realm).hasControls:
        listener.realm = String(realm)
      case ("realm", _):
        throw Wrong(message: "has an option realm without a name", suggestion: "write ?realm=NAME")
      case ("auto", "true"), ("auto", "false"):
        listener.auto = value == "true"
      case ("auto", _):
        throw Wrong(message: "has an option auto that is neither true nor false", suggestion: "write ?auto=false")
      case ("proxy-protocol", "v2"):
        guard listener.transport.isStream else {
          throw Wrong(
            message: "asks for the PROXY protocol, which only tcp and tls listeners have",
            suggestion: "remove proxy-protocol=v2")
        }
        listener.proxyProtocol = true
      case ("proxy-protocol", _):
        throw Wrong(message: "asks for another PROXY protocol than v2", suggestion: "write ?proxy-protocol=v2")
      default:
        let known = ["realm", "proxy-protocol", "auto"]
        throw Wrong(
          message: "has the unknown option \(String(name).quoted)",
          suggestion: NearestWord.find(String(name), among: known).map { "did you mean \($0)?" }
            ?? "the options are \(known.joined(separator: ", "))")
      }
    }
  }

  /// The URI with the missing port or brackets.
  private static func nearest(_ host: String, name: String, port: UInt16) -> String {
    guard let address = IPAddress(host.unbracketed) else { return "write, for example, \(name)://0.0.0.0:\(port)" }
    return "did you mean \(name)://\(SocketAddress(address, port: port))?"
  }
}

extension String {
  /// `[2001:db8::1]` without its brackets.
  var unbracketed: Substring {
    hasPrefix("[") && hasSuffix("]") && count > 2 ? dropFirst().dropLast() : self[...]
  }
}

extension StringProtocol {
  var trimmingSpaces: SubSequence {
    guard let first = firstIndex(where: { $0 != " " && $0 != "\t" }),
      let last = lastIndex(where: { $0 != " " && $0 != "\t" })
    else { return self[endIndex...] }
    return self[first...last]
  }
}
