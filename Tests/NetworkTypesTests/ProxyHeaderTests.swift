import NetworkTypes
import Testing

@Suite("PROXY protocol, version 2")
struct ProxyHeaderTests {
  /// A header with a command, a family and the bytes after the fixed part.
  private static func header(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
    let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    let length: [UInt8] = [UInt8(truncatingIfNeeded: rest.count >> 8), UInt8(truncatingIfNeeded: rest.count)]
    return signature + [command, family] + length + rest
  }

  /// 198.51.100.7:4242 to 203.0.113.1:3478.
  private static let ipv4: [UInt8] = [198, 51, 100, 7, 203, 0, 113, 1, 0x10, 0x92, 0x0D, 0x96]

  private static func ipv6(_ source: [UInt8]) -> [UInt8] {
    let destination: [UInt8] = [0x20, 0x01, 0x0D, 0xB8] + zeros(11) + [1]
    return source + destination + [0x10, 0x92, 0x0D, 0x96]
  }

  private func read(_ bytes: [UInt8]) -> ProxyHeader { ProxyHeader(bytes.span.rawBytes) }

  struct Row: Sendable, CustomTestStringConvertible {
    var bytes: [UInt8]
    var source = ""
    var destination = ""
    var reason = ProxyHeader.Reason.noHeader

    var testDescription: String { "\(source)\(reason.rawValue), \(bytes.count) bytes" }
  }

  private static func proxied(_ bytes: [UInt8], _ source: String, _ destination: String) -> Row {
    Row(bytes: bytes, source: source, destination: destination)
  }

  private static func wrong(_ bytes: [UInt8], _ reason: ProxyHeader.Reason) -> Row { Row(bytes: bytes, reason: reason) }

  private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

  static let good: [Row] = {
    let documentation: [UInt8] = [0x20, 0x01, 0x0D, 0xB8] + zeros(11) + [7]
    let mapped: [UInt8] = zeros(10) + [0xFF, 0xFF, 198, 51, 100, 7]
    let short: [UInt8] = ipv4 + [0x03, 0, 4, 1, 2, 3, 4]
    let long: [UInt8] = ipv4 + [UInt8](repeating: 0xFF, count: 4068)
    return [
      proxied(header(0x21, 0x11, ipv4), "198.51.100.7:4242", "203.0.113.1:3478"),
      proxied(header(0x21, 0x11, short), "198.51.100.7:4242", "203.0.113.1:3478"),
      proxied(header(0x21, 0x11, long), "198.51.100.7:4242", "203.0.113.1:3478"),
      proxied(header(0x21, 0x21, ipv6(documentation)), "[2001:db8::7]:4242", "[2001:db8::1]:3478"),
      proxied(header(0x21, 0x21, ipv6(mapped)), "198.51.100.7:4242", "[2001:db8::1]:3478"),
    ]
  }()

  static let bad: [Row] = {
    var text = [wrong(Array("PROXY TCP4 198.51.100.7 203.0.113.1 4242 3478\r\n".utf8), .version1)]
    text += [wrong(Array("PRO".utf8), .version1), wrong(Array("GET / HTTP/1.1\r\n".utf8), .noHeader)]
    text += [wrong([0, 1, 0, 0], .noHeader), wrong(Array(header(0x21, 0x11, ipv4)[..<11]) + [0x0B], .noHeader)]
    let fixed: [Row] = [
      wrong(header(0x11, 0x11, ipv4), .version), wrong(header(0x31, 0x11, ipv4), .version),
      wrong(header(0x22, 0x11, ipv4), .command), wrong(header(0x21, 0, ipv4), .family),
      wrong(header(0x21, 0x12, ipv4), .family), wrong(header(0x21, 0x31, zeros(216)), .family),
      wrong(header(0x21, 0x11, Array(ipv4[..<11])), .tooShort), wrong(header(0x21, 0x21, ipv4), .tooShort),
      wrong(header(0x21, 0x11, ipv4 + zeros(4069)), .tooLong), wrong(header(0x20, 0, zeros(4081)), .tooLong),
    ]
    let rest = Array(ipv4[4...])
    let multicast: [UInt8] = [0xFF, 2] + zeros(13) + [1]
    let addresses: [Row] = [
      wrong(header(0x21, 0x11, zeros(4) + rest), .address), wrong(header(0x21, 0x11, [224, 0, 0, 1] + rest), .address),
      wrong(header(0x21, 0x11, [255, 255, 255, 255] + rest), .address),
      wrong(header(0x21, 0x11, Array(ipv4[..<8]) + [0, 0, 0x0D, 0x96]), .address),
      wrong(header(0x21, 0x21, ipv6(zeros(16))), .address), wrong(header(0x21, 0x21, ipv6(multicast)), .address),
    ]
    return text + fixed + addresses
  }()

  @Test("The client's address and the proxy's are read, and TLVs are skipped", arguments: good)
  func proxied(row: Row) throws {
    let bytes = row.bytes
    let expected = ProxyHeader.proxied(
      source: try #require(SocketAddress(row.source)), destination: try #require(SocketAddress(row.destination)),
      byteCount: bytes.count)
    #expect(read(bytes) == expected)
    #expect(read(bytes + [0, 1, 0, 0]) == expected)
    // Each beginning of the header is incomplete, not invalid.
    for count in 0..<bytes.count {
      guard case .incomplete(let least) = read(Array(bytes[..<count])) else {
        Issue.record("\(count) bytes of \(bytes.count)")
        return
      }
      #expect(least > count && least <= bytes.count)
    }
  }

  @Test("LOCAL has no addresses, whatever its family and rest say", arguments: [UInt8(0), 0x11, 0xFF])
  func local(family: UInt8) {
    for rest in [[], Self.ipv4, [1, 2, 3]] {
      let bytes = Self.header(0x20, family, rest)
      #expect(read(bytes) == .local(byteCount: bytes.count))
    }
  }

  @Test("A wrong header has a reason", arguments: bad)
  func wrong(row: Row) { #expect(read(row.bytes) == .invalid(row.reason)) }

  @Test("The fixed part is judged before the rest arrives")
  func early() { #expect(read(Array(Self.header(0x21, 0x12, Self.ipv4)[..<16])) == .invalid(.family)) }
}
