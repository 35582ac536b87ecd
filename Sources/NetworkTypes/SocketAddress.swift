/// An IP address and a port; for link-local IPv6 also the scope, the interface index, without which the address is
/// ambiguous.
public struct SocketAddress: Hashable, Sendable, BitwiseCopyable {
  public var address: IPAddress
  public var port: UInt16
  /// The interface index of a link-local IPv6 address, 0 elsewhere.
  public var scope: UInt32

  @inlinable
  public init(_ address: IPAddress, port: UInt16, scope: UInt32 = 0) {
    self.address = address
    self.port = port
    self.scope = scope
  }

  @inlinable public var family: IPAddress.Family { address.family }

  /// `0.0.0.0:0`, for records without an address.
  public static let none = SocketAddress(.ipv4Any, port: 0)
}

extension SocketAddress: CustomStringConvertible {
  /// `192.0.2.1:3478` or `[2001:db8::1]:3478`.
  public var description: String {
    switch family {
    case .ipv4: "\(address):\(port)"
    case .ipv6: scope == 0 ? "[\(address)]:\(port)" : "[\(address)%\(scope)]:\(port)"
    }
  }

  /// Reads `IP:PORT` or `[IPv6]:PORT`; nil for anything else, for names and for ports above 65535.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    var host = text[..<colon]
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    guard let port = UInt16(decimalDigits: text[text.index(after: colon)...]), let address = IPAddress(host),
      isBracketed == (address.family == .ipv6)
    else { return nil }
    self.init(address, port: port)
  }
}

extension FixedWidthInteger {
  /// Reads plain decimal digits: no sign and no space. Nil for other text and on overflow (`65536` as a UInt16).
  public init?(decimalDigits text: some StringProtocol) {
    guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return nil
    }
    self.init(text, radix: 10)
  }
}
