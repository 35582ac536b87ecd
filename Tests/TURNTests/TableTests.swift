import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Limits and timers over long times")
struct TableTests {
  @Test("a stranger's budget outlives the 204 days that its clock has room for")
  func limiterWraps() {
    let limiter = StrangerRateLimiter(limit: 2, seed: (1, 2))
    let address = IPAddress(192, 0, 2, 1)
    // The limiter's microseconds, less the two seconds that they begin at.
    let wrap: UInt64 = ((1 << 44) - 2_000_000) * 1000
    let before = Instant(nanoseconds: wrap - 3_000_000_000)
    #expect(limiter.take(address, now: before))
    #expect(limiter.take(address, now: before))
    #expect(!limiter.take(address, now: before))
    for later in [2 as UInt64, 120, 86_400] {
      #expect(limiter.take(address, now: Instant(nanoseconds: wrap + later * 1_000_000_000)))
    }
  }

  @Test("4,096 neighbours in a set take turns and nobody is shut out for good")
  func limiterEvicts() {
    let limiter = StrangerRateLimiter(limit: 1, seed: (3, 4))
    let now = Instant(nanoseconds: 5_000_000_000)
    for number in UInt32(0)..<300_000 { _ = limiter.take(IPAddress(ipv4: number), now: now) }
    let later = now.advanced(bySeconds: 2)
    for number in UInt32(0)..<1000 { #expect(limiter.take(IPAddress(ipv4: number), now: later)) }
  }

  @Test("what a packet reads of an allocation and of a channel lies in the first cache line of their places")
  func hotFields() throws {
    // A place has eight bytes of its own in front of the record.
    let line = 64 - 8
    let counted = try #require(MemoryLayout<Allocation>.offset(of: \.toPeers))
    #expect(counted + MemoryLayout<TrafficCount>.size <= line)
    let client = try #require(MemoryLayout<Allocation>.offset(of: \.client))
    #expect(client + MemoryLayout<ClientPath>.size <= line + 64)
    let rules = try #require(MemoryLayout<Channel>.offset(of: \.rulesGeneration))
    #expect(rules + MemoryLayout<UInt32>.size <= line)
  }

  @Test("timers fire in order, never early, and after a long sleep all that are due")
  func wheel() {
    var wheel = TimerWheel(now: Instant(nanoseconds: 0))
    func second(_ number: UInt64) -> Instant { Instant(nanoseconds: number * 1_000_000_000) }
    for number in UInt32(1)...900 {
      _ = wheel.schedule(.permission, RecordID(index: number, generation: 1), at: second(UInt64(number)))
    }
    let early = wheel.popDue(now: Instant(nanoseconds: 999_999_999))
    #expect(early == nil)
    var fired: [UInt32] = []
    while let next = wheel.popDue(now: second(500)) { fired.append(next.subject.index) }
    #expect(fired == Array(1...499))
    while let next = wheel.popDue(now: second(5000)) { fired.append(next.subject.index) }
    #expect(fired == Array(1...900))
    let nothing = wheel.nextDeadline()
    #expect(nothing == nil)
  }

  @Test("a request that waits for the store is not forgotten at once after an idle quarter of an hour")
  func idleThenWaiting() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    // As a shard does: time comes in with every turn, whether or not a timer is due.
    conversation.wait(seconds: 1200)
    let client = TestClient(conversation)
    client.challenge()
    _ = client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    conversation.wait(seconds: 1)
    let ticket = try #require(conversation.lookUps.first?.ticket)
    conversation.relay.keysFound(ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
    conversation.runCommands()
    #expect(conversation.relay.allocationCount == 1)
  }

  @Test("a wrong FINGERPRINT is dropped in silence, a right one answered with one")
  func fingerprint() {
    let client = TestClient(Conversation())
    var request = client.request(.binding, signs: false) { $0.appendFingerprint() }
    #expect(client.ask(request)?.type == MessageType(.binding, .success))
    request[request.count - 1] ^= 1
    #expect(client.send(request).drop == .malformed)
  }

  @Test("a reservation's token is good for nobody else")
  func foreignToken() throws {
    let conversation = Conversation()
    let alice = TestClient(conversation)
    let token = try #require(alice.allocate { $0.append(.evenPort, [UInt8(0x80)]) }?.token)
    let bob = TestClient(conversation, "192.0.2.8:5000")
    bob.username = "bob"
    bob.key = Conversation.otherKey
    #expect(bob.allocate { $0.append(.reservationToken, token) }?.code == 508)
    let second = TestClient(conversation, "192.0.2.9:5000")
    #expect(second.allocate { $0.append(.reservationToken, token) }?.relayedAddress != nil)
  }

  @Test("bandwidth above a gigabyte a second is limited too")
  func fastBandwidth() {
    let limit = BandwidthLimit(bytesPerSecond: 2_000_000_000)
    var bucket = BandwidthBucket()
    var passed = 0
    let now = Instant(nanoseconds: 1_000_000_000)
    while passed < 100_000, bucket.take(60_000, limit, now: now) { passed += 1 }
    #expect((33_000...34_000).contains(passed))
  }
}
