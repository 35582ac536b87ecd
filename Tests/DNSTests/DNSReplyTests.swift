import Crypto
import DNS
import NetworkTypes
import Testing
import TURNClient

@Suite("DNS replies")
struct DNSReplyTests {
  /// One question for `x.test` and one answer of this type and data.
  static func reply(_ type: UInt16, _ data: [UInt8]) -> [UInt8] {
    let name: [UInt8] = [1, 120, 4, 116, 101, 115, 116, 0]
    let head: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
    let kind: [UInt8] = [UInt8(type >> 8), UInt8(truncatingIfNeeded: type), 0, 1]
    let length: [UInt8] = [UInt8(data.count >> 8), UInt8(truncatingIfNeeded: data.count)]
    let answer: [UInt8] = [0xC0, 12] + kind + [0, 0, 0, 60] + length
    return head + name + kind + answer + data
  }

  static let service = reply(33, [0, 10, 0, 5, 0x0D, 0x96, 1, 97, 0xC0, 14])
  static let naming = reply(
    35, [0, 1, 0, 2, 1, 83, 14] + Array("RELAY:turn.udp".utf8) + [0] + [1, 98, 0xC0, 14])

  @Test("Address, SRV and NAPTR records are read")
  func records() {
    #expect(
      DNSReply.services(in: Self.service) == [ServiceRecord(priority: 10, weight: 5, port: 3478, target: "a.test")])
    #expect(
      DNSReply.naming(in: Self.naming) == [
        NamingRecord(order: 1, preference: 2, flags: "S", services: "RELAY:turn.udp", replacement: "b.test")
      ])
    #expect(DNSReply.addresses(in: Self.reply(1, [192, 0, 2, 7]), family: .ipv4) == [IPAddress(192, 0, 2, 7)])
    let sixteen: [UInt8] = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [9]
    #expect(
      DNSReply.addresses(in: Self.reply(28, sixteen), family: .ipv6).map(\.description) == ["2001:db8::9"])
    #expect(DNSReply.services(in: Self.reply(33, [0, 0, 0, 0, 0, 0, 0])).first?.target == ".")
  }

  @Test("Mutated replies never trap")
  func mutated() {
    // The seed is fixed, because a trap ends the process without a message.
    var random = SeededGenerator(seed: [1, 2, 3])
    for round in 0..<20_000 {
      var bytes = [Self.service, Self.naming, Self.reply(1, [1, 2, 3, 4])][round % 3]
      for _ in 0...random.next(below: 5) {
        bytes[Int(random.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.next())
      }
      if round % 7 == 0 { bytes.removeLast(Int(random.next(below: UInt64(bytes.count)))) }
      _ = DNSReply.services(in: bytes)
      _ = DNSReply.naming(in: bytes)
      _ = DNSReply.addresses(in: bytes, family: .ipv4)
      _ = DNSReply.addresses(in: bytes, family: .ipv6)
    }
  }
}
