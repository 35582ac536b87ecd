import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("Limits and timers over long times")
struct TableTests {
  @Test("A stranger's budget still works after its 44-bit clock wraps, at 204 days")
  func limiterWraps() {
    let limiter = StrangerRateLimiter(limit: 2, seed: (1, 2))
    let address = IPAddress(192, 0, 2, 1)
    // The limiter's clock counts 44 bits of microseconds and begins at two seconds.
    let wrap: UInt64 = ((1 << 44) - 2_000_000) * 1000
    let before = Instant(nanoseconds: wrap - 3_000_000_000)
    #expect(limiter.take(address, now: before))
    #expect(limiter.take(address, now: before))
    #expect(!limiter.take(address, now: before))
    for later in [2 as UInt64, 120, 86_400] {
      #expect(limiter.take(address, now: Instant(nanoseconds: wrap + later * 1_000_000_000)))
    }
  }

  @Test("Addresses in one set of the table evict each other, and none is excluded for ever")
  func limiterEvicts() {
    let limiter = StrangerRateLimiter(limit: 1, seed: (3, 4))
    let now = Instant(nanoseconds: 5_000_000_000)
    for number in UInt32(0)..<300_000 { _ = limiter.take(IPAddress(ipv4: number), now: now) }
    let later = now.advanced(by: .seconds(2))
    for number in UInt32(0)..<1000 { #expect(limiter.take(IPAddress(ipv4: number), now: later)) }
  }

  @Test("A flood of ClientHellos without a cookie leaves a quarter of all answers to those with one and to challenges")
  func helloReserve() {
    let limiter = StrangerRateLimiter(limit: 0, total: 100, seed: (5, 6))
    let now = Instant(nanoseconds: 5_000_000_000)
    func count(_ take: (SocketAddress) -> DropCause?) -> Int {
      (UInt32(0)..<200).count { take(SocketAddress(IPAddress(ipv4: $0), port: 9)) == nil }
    }
    #expect(count { limiter.takeHello($0, hasCookie: false, now: now) } == 75)
    #expect(limiter.takeHello(.none, hasCookie: true, now: now) == nil)
    #expect(count { limiter.takeChallenge($0, now: now) } == 24)
    #expect(limiter.takeHello(.none, hasCookie: true, now: now) == .rateLimitedInAll)
    let own = StrangerRateLimiter(limit: 2, seed: (5, 6))
    let client = SocketAddress(IPAddress(192, 0, 2, 1), port: 9)
    for _ in 0..<2 { #expect(own.takeHello(client, hasCookie: true, now: now) == nil) }
    #expect(own.takeHello(client, hasCookie: false, now: now) == .rateLimited)
  }

  @Test("The fields that a packet reads lie in the first cache line of an allocation and of a channel")
  func hotFields() throws {
    // A slot has eight bytes before the record.
    let line = 64 - 8
    let path = ClientPath(address: .none, endpoint: EndpointID(rawValue: 0), transport: .udp)
    let now = Instant(nanoseconds: 0)
    let details = AllocationDetails(
      realm: .default, username: [], quotaName: [], keys: nil,
      kind: AllocationKind(transport: .udp, families: .ipv4, relayTransport: .udp),
      transactionID: TransactionID(high: 0, low: 0),
      grantedLifetime: .zero, createdAt: now, admittedAddress: path.address.address,
      bandwidthSubject: RateTable.Subject(0, 0))
    var allocation = Allocation(client: path, transport: .udp, expiresAt: now, details: details)
    let base = unsafe withUnsafeMutablePointer(to: &allocation) { Int(bitPattern: $0) }
    let counted = unsafe withUnsafeMutablePointer(to: &allocation.toPeers) { Int(bitPattern: $0) } - base
    #expect((0...line).contains(counted + MemoryLayout<TrafficCount>.size))
    let client = unsafe withUnsafeMutablePointer(to: &allocation.client) { Int(bitPattern: $0) } - base
    #expect((0...(line + 64)).contains(client + MemoryLayout<ClientPath>.size))
    let rules = try #require(MemoryLayout<Channel>.offset(of: \.rulesGeneration))
    #expect(rules + MemoryLayout<UInt32>.size <= line)
  }

  @Test("An allocation's record needs eight cache lines, and a mobility ticket is outside of it")
  func recordSize() {
    // A slot has eight bytes before the record.
    #expect(MemoryLayout<Allocation>.size + 8 <= 8 * 64)
    var details = AllocationDetails.unread
    #expect(details.mobility == nil)
    details.mobility = Mobility()
    details.mobility?.ticket = [1, 2]
    #expect(details.mobility?.ticket == [1, 2])
    details.mobility = nil
    #expect(details.mobility == nil)
  }

  @Test("Timers fire in order and never early, and all expired ones fire after a long pause")
  func wheel() {
    var wheel = TimerWheel(now: Instant(nanoseconds: 0))
    func second(_ number: UInt64) -> Instant { Instant(nanoseconds: number * 1_000_000_000) }
    for number in UInt32(1)...900 {
      _ = wheel.schedule(.permission(Handle(index: number, generation: 1)), at: second(UInt64(number)))
    }
    let early = wheel.popDue(now: Instant(nanoseconds: 999_999_999))
    #expect(early == nil)
    var fired: [UInt32] = []
    while case .permission(let next)? = wheel.popDue(now: second(500)) { fired.append(next.index) }
    #expect(fired == Array(1...499))
    while case .permission(let next)? = wheel.popDue(now: second(5000)) { fired.append(next.index) }
    #expect(fired == Array(1...900))
    let nothing = wheel.nextDeadline()
    #expect(nothing == nil)
  }

  @Test("Cancelling a fired timer does not cancel the new timer in its slot")
  func staleTimer() {
    var wheel = TimerWheel(now: Instant(nanoseconds: 0))
    let deadline = Instant(nanoseconds: 1_000_000_000)
    let old = wheel.schedule(.permission(Handle(index: 1, generation: 1)), at: deadline)
    let later = Instant(nanoseconds: 2_000_000_000)
    let hasFired = wheel.popDue(now: later) != nil
    #expect(hasFired)
    let new = wheel.schedule(.permission(Handle(index: 2, generation: 1)), at: later)
    wheel.cancel(old)
    let afterOld = wheel.count
    wheel.cancel(new)
    let afterNew = wheel.count
    #expect([afterOld, afterNew] == [1, 0])
  }

  @Test("After twenty idle minutes a request still waits for the store")
  func idleThenWaiting() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    // A shard advances its relay in each turn, whether a timer is due or not.
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

  @Test("A message with a wrong FINGERPRINT is dropped, one with a right one answered with FINGERPRINT")
  func fingerprint() {
    let client = TestClient(Conversation())
    var request = client.request(.binding, signs: false) { $0.appendFingerprint() }
    #expect(client.ask(request)?.type == MessageType(.binding, .success))
    request[request.count - 1] ^= 1
    #expect(client.send(request).drop == .malformed)
  }

  @Test("A reservation token is valid for its own user only")
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

  @Test("Bandwidth above a gigabyte a second is limited too")
  func fastBandwidth() {
    let limit = RateLimit(perSecond: 2_000_000_000)
    var bucket = RateBucket()
    var passed = 0
    let now = Instant(nanoseconds: 1_000_000_000)
    while passed < 100_000, bucket.take(60_000, limit, now: now) { passed += 1 }
    #expect((33_000...34_000).contains(passed))
  }
}
