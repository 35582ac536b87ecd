import NetworkTypes
import STUN
import Testing

@testable import TURN

extension StrangerTests {
  /// Addresses of one network, and one of another network.
  struct Network: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var host: @Sendable (Int) -> String
    var other: String
  }

  static let networks = [
    Network(testDescription: "IPv4 /24", host: { "192.0.2.\($0)" }, other: "192.0.3.1"),
    // Each host has a /56 of its own.
    Network(
      testDescription: "IPv6 /48", host: { "[2001:db8:1:\(String($0, radix: 16))00::1]" }, other: "[2001:db8:2::1]"),
  ]

  @Test(
    "After 200 wrong passwords a second from one network, its addresses that have failed get no answer; others do",
    arguments: networks)
  func wrongPasswordsOfNetwork(network: Network) {
    let conversation = Conversation()
    // This client's address fails too, on another port.
    let good = TestClient(conversation, "\(network.host(1)):5001")
    good.allocate()
    let attackers = (1...64).map { TestClient(conversation, "\(network.host($0)):6000") }
    for attacker in attackers { attacker.key = Conversation.otherKey }
    let codes = (0..<8).flatMap { _ in attackers.compactMap { $0.allocate()?.code } }
    // Each has failed three times or more when the network's 200 are used up.
    #expect(codes == [UInt16](repeating: 401, count: 200))
    #expect(conversation.relay.counters.drops(.tooManyFailuresInNetwork) == 64 * 8 - 200)
    #expect(conversation.relay.counters.drops(.tooManyFailures) == 0)
    #expect(conversation.notices(.networkFailures).map(\.count) == [1])
    // The right password gets no answer either; a live allocation stays usable.
    attackers[0].key = Conversation.key
    #expect(attackers[0].allocate() == nil)
    #expect(good.refresh(600)?.lifetime == 600)
    // An office in this network, and a slip of one of its users, are answered.
    #expect(TestClient(conversation, "\(network.host(100)):5000").allocate()?.relayedAddress != nil)
    let slip = TestClient(conversation, "\(network.host(101)):5000")
    slip.key = Conversation.otherKey
    #expect(slip.allocate()?.code == 401)
    slip.key = Conversation.key
    #expect(slip.allocate()?.relayedAddress != nil)
    // Other networks have their own budget, and this one has it again after a second.
    let other = TestClient(conversation, "\(network.other):5000")
    other.key = Conversation.otherKey
    for _ in 0..<10 { #expect(other.allocate()?.code == 401) }
    conversation.wait(seconds: 1)
    #expect(attackers[0].allocate()?.relayedAddress != nil)
  }

  @Test("A network that guesses on has 200 attempts a second, and two a minute of each address")
  func networkRate() {
    let conversation = Conversation()
    conversation.transcript.isKept = false
    let attackers = (0..<256).map { TestClient(conversation, "192.0.2.\($0):6000") }
    for attacker in attackers { attacker.key = Conversation.otherKey }
    func attempts() -> Int {
      (0..<6).reduce(0) { sum, _ in sum + attackers.count { $0.allocate()?.code == 401 } }
    }
    // 256 addresses of fifty a second would have 12,800.
    #expect(attempts() == 256 * 2)
    var later: [Int] = []
    for _ in 0..<3 {
      conversation.tick(seconds: 1)
      later.append(attempts())
    }
    #expect(later.allSatisfy { (200...230).contains($0) }, "\(later)")
  }

  @Test("The admin endpoint has a quarter of the memory, and an eighth of it is kept for it")
  func adminMemory() {
    let memory = StrangersMemory(limit: .bytes(800), hasAdmin: true)
    // Shards leave an eighth.
    #expect(!memory.charge(701) && memory.charge(700) && !memory.charge(1) && memory.byteCount == 700)
    #expect(!memory.chargeAdmin(101) && memory.chargeAdmin(100) && !memory.chargeAdmin(1))
    #expect(memory.byteCount == 800 && memory.adminByteCount == 100 && !memory.isAdminNearlyFull)
    // The endpoint has its quarter, and shards the rest.
    memory.release(700)
    #expect(!memory.chargeAdmin(101) && memory.chargeAdmin(100) && memory.isAdminNearlyFull)
    #expect(!memory.charge(601) && memory.charge(600) && memory.byteCount == 800)
    memory.releaseAdmin(200)
    #expect(memory.adminByteCount == 0 && memory.byteCount == 600 && memory.charge(100) && !memory.charge(1))
    let unlimited = StrangersMemory(limit: .zero, hasAdmin: true)
    #expect(unlimited.charge(1 << 40) && unlimited.chargeAdmin(1 << 40) && !unlimited.isAdminNearlyFull)
  }
}
