internal import NetworkTypes
internal import STUN
internal import Tables
internal import Testing

@testable internal import TURN

@Suite("A changed advertised address")
struct AdvertisedAddressTests {
  /// The peer that the last Data indication names; it carries one byte.
  private func heardPeer(_ conversation: Conversation) -> SocketAddress? {
    let reply = conversation.relay.copiedReply() + [1, 0, 0, 0]
    guard let message = try? MessageView(reply.span.rawBytes) else { return nil }
    return (try? message.xorAddress(.xorPeerAddress)) ?? nil
  }

  private func allocated(
    _ conversation: Conversation, _ address: String = "192.0.2.7:5000"
  ) throws -> (TestClient, SocketAddress) {
    let client = TestClient(conversation, address)
    return (client, try #require(client.allocate()?.relayedAddress))
  }

  @Test("New allocations are told the new address, live ones keep theirs, and they reach each other by both")
  func change() throws {
    let conversation = Conversation(advertise: "198.51.100.9")
    let (alice, aliceRelay) = try allocated(conversation)
    conversation.advertise("198.51.100.10")
    let (bob, bobRelay) = try allocated(conversation, "192.0.2.8:5000")
    #expect(aliceRelay.address == IPAddress("198.51.100.9") && bobRelay.address == IPAddress("198.51.100.10"))
    let slot = conversation.relay.liveAllocation(on: alice.path, now: conversation.now)
    #expect(slot.map { conversation.relay.relayedAddresses(of: $0) } == [aliceRelay])
    #expect(alice.permit("\(bobRelay)")?.code == nil && bob.permit("\(aliceRelay)")?.code == nil)
    #expect(alice.sendIndication("\(bobRelay)", [1]).client == bob.path)
    #expect(heardPeer(conversation) == aliceRelay)
    #expect(bob.sendIndication("\(aliceRelay)", [2]).client == alice.path)
    #expect(heardPeer(conversation) == bobRelay)
    // A port of the old address that has no allocation is a forbidden peer.
    #expect(bob.sendIndication("198.51.100.9:3478", [3]).drop == .forbiddenPeer)
  }

  @Test("Channels to a relay with the former address carry data both ways")
  func channels() throws {
    let conversation = Conversation(advertise: "198.51.100.9")
    let (alice, aliceRelay) = try allocated(conversation)
    let (bob, bobRelay) = try allocated(conversation, "192.0.2.8:5000")
    conversation.advertise("198.51.100.10")
    #expect(alice.bind(0x4000, "\(bobRelay)")?.code == nil && bob.bind(0x4001, "\(aliceRelay)")?.code == nil)
    #expect(alice.sendIndication("\(bobRelay)", [1]).client == bob.path)
    #expect(conversation.relay.copiedReply() == [0x40, 0x01, 0x00, 0x01])
    #expect(bob.sendIndication("\(aliceRelay)", [1]).client == alice.path)
    #expect(conversation.relay.copiedReply() == [0x40, 0x00, 0x00, 0x01])
  }

  private static let local = IPAddress("10.0.0.5")!
  private static let start = Instant(nanoseconds: 1_000_000_000)

  private func told(_ numbers: [UInt8]) -> RelayedAddresses {
    let first = RelayedAddresses(entries: [.init(local: Self.local, advertised: Self.local)], ports: 50_000...50_001)
    return numbers.reduce(first) { $0.advertising([IPAddress(198, 51, 100, $1)], now: Self.start) }
  }

  @Test("The forms of an address: the present one, former ones, newest first, and the local one")
  func forms() {
    let relayed = told([1, 2, 1, 3])
    #expect(
      relayed.forms(of: Self.local).map { "\($0)" } == ["198.51.100.3", "198.51.100.1", "198.51.100.2", "10.0.0.5"])
    #expect(relayed.hasTranslations && relayed.contains(IPAddress(198, 51, 100, 2)))
    #expect(relayed.translated(IPAddress(198, 51, 100, 2)) == Self.local)
    // Both snapshots share their ports: a port that one has claimed cannot be claimed in the other.
    let client = ClientPath(
      address: SocketAddress("192.0.2.9:5000")!, endpoint: EndpointID(rawValue: 0), transport: .udp,
      connection: Handle(index: 0, generation: 1))
    let owner = PortOwner(username: [1], client: client)
    let now = Instant(nanoseconds: 1)
    #expect(told([]).claim(RelayedAddress(0, 50_000), for: owner, now: now, ignoresQuarantine: false))
    let next = relayed.advertising([Self.local], now: Self.start)
    #expect(relayed.claim(RelayedAddress(0, 50_000), for: owner, now: now, ignoresQuarantine: false))
    #expect(!next.claim(RelayedAddress(0, 50_000), for: owner, now: now, ignoresQuarantine: false))
    #expect(next.forms(of: Self.local).count == 4)
  }

  @Test("At most eight former addresses are kept, and those of other relays are not")
  func limit() {
    let relayed = told(Array(1...20))
    #expect(relayed.former.map(\.advertised) == (12...19).reversed().map { IPAddress(198, 51, 100, $0) })
    let stranger = RelayedAddresses.Entry(local: IPAddress("10.0.0.6")!, advertised: IPAddress("198.51.100.99")!)
    let known = RelayedAddresses.Entry(local: Self.local, advertised: IPAddress("198.51.100.50")!)
    let remembered = told([1]).remembering([stranger, known], now: Self.start)
    #expect(remembered.former == [.init(known, since: Self.start)])
    // An upgrade keeps the times of former addresses; a time after now is invalid and becomes now.
    let later = Self.start.advanced(by: .seconds(60))
    let other = RelayedAddresses.Entry(local: Self.local, advertised: IPAddress("198.51.100.51")!)
    let since = [Self.start, later.advanced(by: .seconds(9))]
    let times = told([1]).remembering([known, other], since: since, now: later)
    #expect(times.former.map(\.since) == [Self.start, later])
  }

  @Test("A former address is forgotten a day after another one has taken its place")
  func forgetting() throws {
    let day = RelayedAddresses.formerTime
    let later = Self.start.advanced(by: .seconds(60))
    let both = told([1, 2]).advertising([IPAddress(198, 51, 100, 3)], now: later)
    let first = IPAddress(198, 51, 100, 1)
    #expect(both.former.map(\.since) == [later, Self.start] && both.contains(first))
    #expect(both.nextForgetting == Self.start.advanced(by: day))
    #expect(both.forgetting(now: Self.start.advanced(by: .seconds(86_399))) == nil)
    let one = try #require(both.forgetting(now: Self.start.advanced(by: day)))
    #expect(!one.contains(first) && one.translated(first) == first && one.contains(IPAddress(198, 51, 100, 2)))
    let none = try #require(one.forgetting(now: later.advanced(by: day)))
    #expect(none.former.isEmpty && none.nextForgetting == nil && none.contains(IPAddress(198, 51, 100, 3)))
    #expect(none.forgetting(now: later.advanced(by: day)) == nil)
  }
}
