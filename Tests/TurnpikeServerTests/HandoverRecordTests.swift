import NetworkTypes
import Tables
import TestSupport
import Testing

@testable import TURN
@testable import TurnpikeServer

@Suite("Records of sockets and servers in a handover")
struct HandoverRecordTests {
  private func offer() -> HandoverOffer {
    var offer = HandoverOffer()
    offer.program = Array("1.2".utf8)
    offer.workers = 2
    offer.listeners = [
      .init(isStream: false, address: SocketAddress("0.0.0.0:3478")!),
      .init(isStream: true, address: SocketAddress("0.0.0.0:3478")!),
    ]
    offer.realms = [Array("turnpike".utf8), Array("other".utf8)]
    offer.relayAddresses = [IPAddress("192.0.2.1")!, IPAddress("192.0.2.2")!]
    offer.advertised = [
      .init(local: IPAddress("192.0.2.2")!, advertised: IPAddress("203.0.113.2")!)
    ]
    offer.formerSince = [Instant(nanoseconds: 7)]
    offer.sharedKey = [UInt8](repeating: 1, count: 32)
    offer.cookieKey = [UInt8](repeating: 2, count: 32)
    offer.seeds = [[UInt8](repeating: 3, count: 32), [UInt8](repeating: 4, count: 32)]
    offer.upgrades = UpgradeCounts(done: 1, failed: 2, moved: 3, kept: 4)
    return offer
  }

  private func bytes(_ kind: UInt8, _ code: (inout RecordCoder) throws(RecordError) -> Void) throws -> [UInt8] {
    var coder = RecordCoder()
    coder.begin(kind)
    try code(&coder)
    coder.end()
    return coder.bytes
  }

  private func engineRecords() throws -> [UInt8] {
    var endpoints = [EndpointTable.Endpoint(listener: ListenerNumber(rawValue: 1), source: IPAddress("192.0.2.1"))]
    var connection = ConnectionRecord()
    connection.path = ClientPath(
      address: SocketAddress("192.0.2.9:5000")!, endpoint: EndpointID(rawValue: 0), transport: .tcp,
      connection: Handle(index: 0, generation: 1))
    connection.partial = [1, 2, 3]
    connection.outgoing = [4, 5]
    connection.begun = 1
    var pipe = PipeRecord()
    pipe.toPeer = [6]
    var shape = SlotMap<Connection>.Shape(upperBound: 1, generation: 1)
    let head = try bytes(EngineRecordKind.endpoints.rawValue) { coder throws(RecordError) in
      try coder.codeList(&endpoints, EndpointTable.Endpoint.unread) { coder, endpoint throws(RecordError) in
        try endpoint.code(with: &coder)
      }
    }
    return head
      + (try bytes(EngineRecordKind.streams.rawValue) { coder throws(RecordError) in try coder.code(&shape) })
      + (try bytes(EngineRecordKind.connection.rawValue) { coder throws(RecordError) in
        try connection.code(with: &coder)
      })
      + (try bytes(EngineRecordKind.pipe.rawValue) { coder throws(RecordError) in try pipe.code(with: &coder) })
  }

  @Test("An offer is read as it was written; one with another version or a missing key is an error")
  func offers() throws {
    var written = offer()
    let bytes = try bytes(1) { coder throws(RecordError) in try written.code(with: &coder) }
    var coder = RecordCoder(reading: bytes)
    var read = HandoverOffer()
    _ = try coder.next()
    try read.code(with: &coder)
    #expect(read == written)
    var wrong = bytes
    wrong[5] = 9
    var short = offer()
    short.seeds.removeLast()
    let missing = try? self.bytes(1) { coder throws(RecordError) in try short.code(with: &coder) }
    #expect(missing == nil)
    var other = RecordCoder(reading: wrong)
    _ = try other.next()
    #expect(throws: RecordError.self) { try read.code(with: &other) }
  }

  @Test("Numbers of the older process become those of the new configuration")
  func mapping() {
    let relayed = RelayedAddresses(
      entries: [.init(local: IPAddress("192.0.2.2")!, advertised: IPAddress("192.0.2.2")!)], ports: 50_000...50_010)
    let plans = [ListenerPlan(transport: .tls, address: SocketAddress("0.0.0.0:3478")!, auto: true)]
    let mapping = offer().mapping(realms: ["other"], relayed: relayed, listeners: plans, endpoints: [0, 1, 5])
    #expect(mapping.realms == [nil, RealmID(rawValue: 0)])
    #expect(mapping.ordinals == [nil, 0])
    #expect(mapping.endpoints == [false, true, false])
    #expect(offer().has(plans[0]))
  }

  @Test("A handover keeps the end and reason of each ban")
  func bans() throws {
    var book = BanBook()
    let ban = BanBook.Ban(
      block: CIDRBlock("192.0.2.0/24")!, reason: "spam", added: UnixTime(seconds: 5), until: Instant(nanoseconds: 9))
    var copy = ban
    try book.restore(try bytes(BanBook.recordKind) { coder throws(RecordError) in try copy.code(with: &coder) })
    #expect(book.bans == [ban])
  }

  @Test("Changed records of an engine are an error or other records, never a trap")
  func mutations() throws {
    let bytes = try engineRecords()
    let records = try EngineRecords(bytes)
    #expect(records.connections.first?.partial == [1, 2, 3] && records.connections.first?.begun == 1)
    #expect(records.pipes.first?.toPeer == [6] && records.endpoints.first?.source == IPAddress("192.0.2.1"))
    let seed = UInt64.random(in: 0 ... .max)
    print("seed of the mutated records: \(seed)")
    var random = SplitMix(state: seed)
    for _ in 0..<20_000 { _ = try? EngineRecords(random.mutate(bytes)) }
  }
}
