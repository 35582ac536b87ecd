import NetworkTypes
import System
import TLS
import TestSupport
import Testing

@testable import TLS

@Suite("Hostile handshakes")
struct HostileHandshakeTests {
  /// OpenSSL's ClientHello in one record.
  static func hello(_ name: String = "turn.example.org") throws -> [UInt8] {
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: name, applicationProtocols: ["stun.turn"])
    client.handshake()
    return drain(&client)
  }

  /// A message split into records of `size` bytes.
  private static func records(_ message: [UInt8], of size: Int) -> [UInt8] {
    var result: [UInt8] = []
    var rest = message[...]
    while !rest.isEmpty {
      let part = rest.prefix(size)
      rest = rest.dropFirst(size)
      result += [22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 0xFF)] + part
    }
    return result
  }

  private static func form(_ bytes: [UInt8]) -> ClientHelloForm { ClientHelloForm(bytes.span.rawBytes) }

  /// A hello without extensions: version, random, no session, one suite, one method.
  private static let small: [UInt8] =
    [1, 0, 0, 41, 3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0x13, 1, 1, 0]

  @Test("Every beginning of a ClientHello is incomplete, and its last byte completes it")
  func beginnings() throws {
    let hello = try Self.hello()
    let message = Array(hello.dropFirst(5))
    for bytes in [
      hello, Self.records(message, of: 1), Self.records(message, of: 100), Self.records(Self.small, of: 41),
    ] {
      for count in 0..<bytes.count { #expect(Self.form(Array(bytes.prefix(count))) == .incomplete, "\(count)") }
      #expect(Self.form(bytes) == .whole)
    }
    #expect(Self.form(hello + [20, 3, 3, 0, 1, 1]) == .whole)
  }

  private struct Change: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var offset: Int
    var byte: UInt8
  }

  @Test(
    "A hello that no client sends is implausible",
    arguments: [
      Change(testDescription: "another kind of record", offset: 0, byte: 23),
      Change(testDescription: "another version of records", offset: 1, byte: 4),
      Change(testDescription: "a record above 16 KiB", offset: 3, byte: 0x80),
      Change(testDescription: "another message", offset: 5, byte: 2),
      Change(testDescription: "a message above 16 KiB", offset: 7, byte: 0xFF),
      Change(testDescription: "a message that ends too late", offset: 8, byte: 42),
      Change(testDescription: "a message that ends too early", offset: 8, byte: 40),
      Change(testDescription: "a session identifier of 33 bytes", offset: 43, byte: 33),
      Change(testDescription: "no cipher suite", offset: 45, byte: 0),
      Change(testDescription: "half a cipher suite", offset: 45, byte: 3),
      Change(testDescription: "no compression method", offset: 48, byte: 0),
    ])
  private func implausible(change: Change) {
    var bytes = Self.records(Self.small, of: 100)
    #expect(Self.form(bytes) == .whole)
    bytes[change.offset] = change.byte
    // A message that ends too late is detected at the latest with the next record.
    #expect(Self.form(bytes + [22, 3, 1, 0, 2, 0, 0]) == .implausible)
  }

  @Test(
    "Legacy versions of record and message are ignored (RFC 8446 sections 4.2.1 and 5.1)",
    arguments: [(offset: 2, byte: 0x2F), (offset: 9, byte: 0xFD), (offset: 10, byte: 0x47)])
  func foreignLegacyVersion(offset: Int, byte: UInt8) {
    var bytes = Self.records(Self.small, of: 100)
    bytes[offset] = byte
    #expect(Self.form(bytes) == .whole)
  }

  @Test("A ClientHello above 16 KiB is refused")
  func longest() {
    var endless = Self.records([1, 0, 0x3F, 0xF0, 3, 3], of: 6)
    while endless.count < ClientHelloForm.longest { endless += [22, 3, 1, 0, 1, 0] }
    #expect(Self.form(Array(endless.prefix(100))) == .incomplete || Self.form(endless) == .implausible)
    #expect(Self.form(endless) == .implausible)
  }

  @Test("Mutated hellos are classified without a trap, and a complete one stays complete with more bytes after it")
  func mutated() throws {
    let seed: UInt64 = 0x7E15_0012
    var random = SplitMix(state: seed)
    let hello = try Self.hello()
    var counts: [ClientHelloForm: Int] = [:]
    for _ in 0..<20_000 {
      let bytes = random.mutate(hello)
      let form = Self.form(bytes)
      counts[form, default: 0] += 1
      if form == .whole { #expect(Self.form(bytes + [1, 2, 3]) == .whole, "seed \(seed)") }
      if form == .implausible { #expect(Self.form(bytes + [1, 2, 3]) == .implausible, "seed \(seed)") }
    }
    for form in [ClientHelloForm.incomplete, .whole, .implausible] { #expect(counts[form, default: 0] > 100) }
  }

  @Test("32 KeyUpdates without data end the connection, and data between them resets the count")
  func keyUpdates() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: "turn.example.org")
    exchange(&client, &server)
    for _ in 0..<100 {
      for _ in 0..<10 { client.requestKeyUpdate() }
      let written = write(&client, [1])
      let received = exchange(&client, &server).server
      #expect(written == .written && received == [1])
    }
    var rounds = 0
    while server.failure == nil, rounds < 100 {
      client.requestKeyUpdate()
      server.receive(drain(&client).span.rawBytes)
      _ = readAll(&server)
      client.receive(drain(&server).span.rawBytes)
      _ = readAll(&client)
      rounds += 1
    }
    let cause = server.failure?.cause
    #expect(cause == .limit && rounds == 33)
  }

  @Test("At most 33 of a thousand KeyUpdates in one read are answered")
  func manyKeyUpdates() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: "turn.example.org")
    exchange(&client, &server)
    for _ in 0..<1000 { client.requestKeyUpdate() }
    server.receive(drain(&client).span.rawBytes)
    let end = readAll(&server).end
    #expect(end == .failed(TLSError(.limit, "too many handshake messages without data")))
    let answers = drain(&server).count
    #expect(answers < 33 * 40)
  }

  // MARK: - DTLS

  private static func record(_ epoch: UInt8, _ payload: [UInt8], kind: UInt8 = 22) -> [UInt8] {
    [kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)] + payload
  }

  private static func fragment(length: Int, number: UInt8, part: Int) -> [UInt8] {
    [16, 0, UInt8(length >> 8), UInt8(length & 0xFF), 0, number, 0, 0, 0, 0, UInt8(part >> 8), UInt8(part & 0xFF)]
      + [UInt8](repeating: 9, count: part)
  }

  @Test("Fragments of too long or far later handshake messages are recognised")
  func fragments() {
    let good = Self.fragment(length: 100, number: 2, part: 100)
    let table: [([UInt8], HandshakeFragments)] = [
      (Self.record(0, good), .plain),
      (Self.record(0, good + good) + Self.record(0, [1], kind: 20), .plain),
      (Self.record(0, good) + Self.record(1, [UInt8](repeating: 0, count: 48)), .encrypted),
      (Self.record(0, Self.fragment(length: 2048, number: 2, part: 1)), .plain),
      (Self.record(0, Self.fragment(length: 2049, number: 2, part: 1)), .excessive),
      (Self.record(0, good + Self.fragment(length: 2049, number: 2, part: 1)), .excessive),
      (Self.record(0, good) + Self.record(0, Self.fragment(length: 16_384, number: 1, part: 1)), .excessive),
      (Self.record(0, Self.fragment(length: 100, number: 3, part: 1)), .excessive),
      (Self.record(0, Self.fragment(length: 1, number: 2, part: 2)), .excessive),
      (Self.record(0, Array(good.dropLast())), .excessive),
      (Self.record(0, [1, 2, 3]), .excessive),
      (Array(Self.record(0, good).dropLast()), .excessive),
      (Self.record(0, good) + [22, 0xFE], .excessive),
      ([], .plain),
    ]
    for (datagram, expected) in table {
      #expect(HandshakeFragments(datagram.span.rawBytes) == expected, "\(datagram)")
    }
  }

  @Test("A DTLS server drops excessive fragments and too many early records, and the handshake continues")
  func hostileFragments() throws {
    var ends = try DatagramEnds(Identity())
    #expect(try ends.greet() == .verified)
    for number in 0..<10 {
      let datagram = Self.record(0, Self.fragment(length: 16_000, number: UInt8(number), part: 1))
      let isTaken = Self.isTaken(datagram, by: &ends.server)
      #expect(!isTaken)
    }
    let early = Self.record(1, [UInt8](repeating: 0, count: 48))
    var taken = 0
    for _ in 0..<20 where Self.isTaken(early, by: &ends.server) { taken += 1 }
    // The client's Finished comes in its own datagram.
    #expect(taken == 4)
    var other = try DatagramEnds(Identity())
    #expect(try other.greet() == .verified)
    let isTaken = Self.isTaken(Self.record(0, Self.fragment(length: 16_000, number: 2, part: 1)), by: &other.server)
    #expect(!isTaken)
    other.exchange()
    let isEstablished = other.server.isEstablished
    #expect(isEstablished)
  }

  private static func isTaken(_ datagram: [UInt8], by engine: inout DTLSEngine) -> Bool {
    let isTaken = engine.receive(datagram.span.rawBytes)
    _ = readDatagrams(&engine)
    return isTaken
  }
}
