import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("Quality of an allocation")
struct QualityConversationTests {
  /// A client with a channel to 8.8.8.8:53, and its relayed address.
  private func talking(
    _ conversation: Conversation, _ address: String = "192.0.2.7:5000"
  ) throws -> (TestClient, SocketAddress) {
    let client = TestClient(conversation, address)
    let relayed = try #require(client.allocate()?.relayedAddress)
    client.bind(0x4000, "8.8.8.8:53")
    return (client, relayed)
  }

  private func quality(_ conversation: Conversation) -> AllocationQuality? {
    guard case .allocationClosed(let summary, _) = conversation.events.last else { return nil }
    return summary.quality
  }

  @Test("The close event has loss and jitter of both sides, from channels and indications alike")
  func closeEvent() throws {
    let conversation = Conversation()
    let (client, relayed) = try talking(conversation)
    conversation.transcript.isKept = false
    for number in 0...200 {
      conversation.tick(milliseconds: 20)
      let bytes = Payload.rtp(number).bytes
      if number % 10 != 9 {
        let sent = number % 2 == 0 ? client.channelData(0x4000, bytes) : client.sendIndication("8.8.8.8:53", bytes)
        #expect(sent.peer != nil)
      }
      let answer = Payload.rtp(number, source: 99).bytes
      if number < 100 || number > 101 {
        #expect(client.hear(answer, from: number % 2 == 0 ? "8.8.8.8:53" : "8.8.8.8:99", on: relayed).client != nil)
      }
    }
    conversation.transcript.isKept = true
    client.refresh(0)
    var fromClient = MediaQuality(basis: .rtp, jitter: .zero)
    (fromClient.packets, fromClient.lost) = (180, 20)
    var fromPeers = MediaQuality(basis: .rtp, jitter: .zero)
    (fromPeers.packets, fromPeers.lost) = (198, 2)
    #expect(quality(conversation)?.fromClient == fromClient)
    #expect(quality(conversation)?.fromPeers == fromPeers)
    #expect(conversation.relay.qualities.count == 0)
    // The counters leave out missing packets that may still arrive.
    #expect(
      conversation.relay.counters.fromClients.packets == 180 && conversation.relay.counters.fromClients.lost == 13)
    #expect(conversation.relay.counters.fromPeers.packets == 198 && conversation.relay.counters.fromPeers.lost == 2)
  }

  @Test("The list of sessions has the quality of live allocations; a packet that the relay drops has arrived")
  func session() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(100) }
    let (client, _) = try talking(conversation)
    var dropped = 0
    for number in 0...20 where client.channelData(0x4000, Payload.rtp(number).bytes).drop == .overBandwidth {
      dropped += 1
    }
    #expect(dropped > 0)
    let found = conversation.relay.allocations.find(client.path)
    let slot = try #require(found)
    let session = conversation.relay.session(conversation.relay.allocations.handle(of: slot), now: conversation.now)
    #expect(session?.allocation.quality.fromClient?.packets == 20)
    #expect(session?.allocation.quality.fromClient?.lost == 0)
    #expect(session?.allocation.quality.fromPeers == nil)
  }

  @Test("Relay to relay: each allocation measures its own side")
  func relayToRelay() throws {
    let conversation = Conversation(allow: ["203.0.113.1/32"])
    let (first, _) = try talking(conversation)
    let (second, relayed) = try talking(conversation, "192.0.2.8:5000")
    first.bind(0x4001, "\(relayed)")
    second.permit("203.0.113.1:0")
    for number in [0, 1, 2, 4] { #expect(first.channelData(0x4001, Payload.rtp(number).bytes).client == second.path) }
    second.refresh(0)
    #expect(quality(conversation)?.fromPeers?.lost == 1 && quality(conversation)?.fromClient == nil)
    first.refresh(0)
    #expect(quality(conversation)?.fromClient?.lost == 1 && quality(conversation)?.fromPeers == nil)
  }

  @Test("An allocation without permissions, and one over TCP, has no records")
  func records() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    #expect(conversation.relay.qualities.count == 0)
    client.permit("8.8.8.8:0")
    client.permit("9.9.9.9:0")
    client.bind(0x4000, "8.8.8.8:53")
    #expect(conversation.relay.qualities.count == 2)
    let stream = TestClient(conversation, "192.0.2.8:5000", transport: .tcp)
    stream.allocate(.tcp)
    stream.permit("8.8.8.8:0")
    #expect(conversation.relay.qualities.count == 2)
    conversation.wait(seconds: 601)
    #expect(conversation.relay.qualities.count == 0)
  }

  // MARK: - Round trip

  @Test("The round trip is the time from the challenge to its first answer; a faster answer to a 438 replaces it")
  func roundTrip() throws {
    let conversation = Conversation { $0.policy.nonceLifetime = .seconds(60) }
    let client = TestClient(conversation)
    client.challenge()
    conversation.tick(milliseconds: 70)
    client.allocate()
    guard case .allocationOpened(let opened) = conversation.events.last else {
      Issue.record("\(conversation.events)")
      return
    }
    #expect(opened.quality.roundTrip == .microseconds(70_000))
    // A second answer to the same challenge is not measured.
    conversation.tick(milliseconds: 5)
    client.refresh(600)
    conversation.tick(seconds: 61)
    client.nonce = try #require(client.refresh(600)?.nonce)
    conversation.tick(milliseconds: 30)
    client.refresh(600)
    conversation.tick(seconds: 61)
    client.nonce = try #require(client.refresh(600)?.nonce)
    conversation.tick(milliseconds: 90)
    client.refresh(0)
    #expect(quality(conversation)?.roundTrip == .microseconds(30_000))
  }

  @Test("A challenge that was sent twice counts from the first time: the answer may be to that one")
  func repeatedChallenge() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    conversation.tick(milliseconds: 500)
    client.challenge()
    conversation.tick(milliseconds: 100)
    client.allocate()
    client.refresh(0)
    #expect(quality(conversation)?.roundTrip == .microseconds(600_000))
  }

  @Test("A store's delay does not count, and an answer after ten seconds is not measured")
  func delays() {
    let conversation = Conversation { $0.realms[0].hasStore = true }
    let client = TestClient(conversation)
    client.username = "carol"
    client.challenge()
    conversation.tick(milliseconds: 20)
    client.allocate()
    conversation.tick(milliseconds: 800)
    if let lookUp = conversation.lookUps.first {
      client.conversation.relay.keysFound(lookUp.ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
      conversation.runCommands()
    }
    client.refresh(0)
    #expect(quality(conversation)?.roundTrip == .microseconds(20_000))
    let slow = TestClient(conversation, "192.0.2.8:5000")
    slow.challenge()
    conversation.tick(seconds: 11)
    slow.allocate()
    slow.refresh(0)
    #expect(quality(conversation)?.roundTrip == nil)
  }

  @Test("The round trip of the connection counts only if no challenge has shown one")
  func ofConnection() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    conversation.tick(milliseconds: 30)
    client.allocate()
    let slow = TestClient(conversation, "192.0.2.8:5000")
    slow.challenge()
    conversation.tick(seconds: 11)
    slow.allocate()
    let ids = conversation.events.compactMap { event in
      if case .allocationOpened(let summary) = event { summary.id } else { nil }
    }
    let known = ids.map { conversation.relay.clientWithoutRoundTrip($0)?.address == slow.path.address }
    #expect(known == [false, true])
    for id in ids { conversation.relay.recordRoundTrip(.microseconds(700), of: id) }
    client.refresh(0)
    #expect(quality(conversation)?.roundTrip == .microseconds(30_000))
    slow.refresh(0)
    #expect(quality(conversation)?.roundTrip == .microseconds(700))
  }

  @Test("A new challenge may overwrite another one: that client has no known round trip")
  func challengeLimit() {
    var times = ChallengeTimes()
    let start = Instant(nanoseconds: 1_000_000_000)
    let nonces = (0..<4096).map { Array("nonce \(10_000 + $0)".utf8) }
    for nonce in nonces { times.sent(nonce.span.rawBytes, now: start) }
    for nonce in nonces { times.answered(nonce.span.rawBytes, now: start.advanced(by: .milliseconds(40))) }
    let known = nonces.filter { times.roundTripMicroseconds(of: $0.span.rawBytes) == 40_000 }
    let unknown = nonces.filter { times.roundTripMicroseconds(of: $0.span.rawBytes) == nil }
    #expect((500...ChallengeTimes.capacity).contains(known.count))
    #expect(known.count + unknown.count == nonces.count)
    #expect(times.roundTripMicroseconds(of: [1, 2].span.rawBytes) == nil)
  }
}
