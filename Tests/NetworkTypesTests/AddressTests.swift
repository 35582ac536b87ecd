import NetworkTypes
import Testing
import TestSupport

@Suite("Addresses as text and as values")
struct AddressTests {
  @Test(
    "An address is read from text and printed as in RFC 5952",
    arguments: [
      ("0.0.0.0", "0.0.0.0"), ("192.0.2.1", "192.0.2.1"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
      ("::1", "::1"), ("2001:db8::1", "2001:db8::1"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
      ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"), ("1:0:0:2::", "1:0:0:2::"), ("0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"),
    ])
  func text(given: String, printed: String) throws {
    let address = try #require(IPAddress(given))
    #expect("\(address)" == printed)
    #expect(IPAddress("\(address)") == address)
  }

  @Test(
    "Invalid text is no address",
    arguments: [
      "", ".", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", "+1.2.3.4", ":", ":::", "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "::1.2.3", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::1%eth0",
      "[::1]",
      "1:2:3:4:5:6:7:", "::-1",
    ])
  func noText(given: String) { #expect(IPAddress(given) == nil) }

  @Test(
    "Transport addresses are read and printed",
    arguments: [
      ("192.0.2.1:3478", true), ("[::1]:65535", true), ("[::1]:65536", false), ("::1:3478", false), ("1.2.3.4", false),
      ("[1.2.3.4]:5", false), ("1.2.3.4:", false), ("1.2.3.4:+5", false), ("1.2.3.4:99999999999999999999", false),
    ])
  func socketAddresses(given: String, isOne: Bool) {
    #expect((SocketAddress(given) != nil) == isOne)
    if let address = SocketAddress(given) { #expect("\(address)" == given) }
  }

  @Test(
    "The IPv4 address inside an IPv6 address is found",
    arguments: [
      ("::ffff:10.0.0.1", "10.0.0.1"), ("::10.0.0.1", "10.0.0.1"), ("::ffff:0:10.0.0.1", "10.0.0.1"),
      ("64:ff9b::10.0.0.1", "10.0.0.1"), ("::", nil), ("::1", nil), ("::2", "0.0.0.2"), ("2001:db8::10.0.0.1", nil),
      ("64:ff9b:1::10.0.0.1", nil), ("10.0.0.1", nil),
    ] as [(String, String?)])
  func embedded(given: String, inner: String?) throws {
    let address = try #require(IPAddress(given))
    #expect(address.embeddedIPv4.map { "\($0)" } == inner)
  }

  @Test("Membership in a block equals membership in a range of 128-bit numbers, for seeded input")
  func membership() {
    var generator = SplitMix(state: 0x1234_5678)
    for _ in 0..<20_000 {
      let length = Int(generator.next() % 129)
      let base = IPAddress(ipv6High: generator.next(), low: generator.next())
      let block = CIDRBlock(base, prefixLength: length)
      // Half of the addresses differ from the base in one bit only, so that boundaries are tested.
      var probe = IPAddress(ipv6High: generator.next(), low: generator.next())
      if generator.next() & 1 == 0 {
        let bit = generator.next() % 128
        probe =
          bit < 64
          ? IPAddress(ipv6High: base.high, low: base.low ^ 1 << bit)
          : IPAddress(ipv6High: base.high ^ 1 << (bit - 64), low: base.low)
      }
      let mask: UInt128 = length == 0 ? 0 : ~0 << UInt128(128 - length)
      let inside = (number(probe) & mask) == (number(base) & mask)
      #expect(block.contains(probe) == inside)
    }
  }

  @Test("Blocks with host bits, too long prefixes or another family are refused or empty")
  func blocks() {
    #expect(CIDRBlock("10.0.0.1/8") == nil)
    #expect(CIDRBlock("10.0.0.0/33") == nil)
    #expect(CIDRBlock("10.0.0.0/-1") == nil)
    #expect(CIDRBlock("10.0.0.0/8/9") == nil)
    #expect(CIDRBlock("10.1.2.3")?.prefixLength == 32)
    #expect(CIDRBlock("::/0")?.contains(IPAddress(1, 2, 3, 4)) == false)
  }

  private func number(_ address: IPAddress) -> UInt128 { UInt128(address.high) << 64 | UInt128(address.low) }
}

@Suite("Byte buffers")
struct ByteBufferTests {
  @Test("Written values are read back in network order; a value that does not fit is omitted and remembered")
  func writing() {
    var buffer = ByteBuffer(capacity: 8)
    buffer.append(UInt8(1))
    buffer.append(bigEndian: UInt16(0x0203))
    buffer.append(bigEndian: UInt32(0x0405_0607))
    let first = buffer.isOverflown
    #expect(!first)
    buffer.append(bigEndian: UInt16(0xFFFF))
    let second = buffer.isOverflown
    #expect(second)
    let bytes = buffer.bytes.copied()
    #expect(bytes == [1, 2, 3, 4, 5, 6, 7])
    buffer.removeAll()
    buffer.append(zeros: 3)
    buffer.replace(bigEndian: UInt16(0x0908), at: 1)
    buffer.replace(bigEndian: UInt16(0x0908), at: 2)
    let again = buffer.bytes.copied()
    #expect(again == [0, 9, 8])
  }
}
