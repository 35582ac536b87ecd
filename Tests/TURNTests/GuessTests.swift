import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Facts that an attacker could learn from numbers and from the time of an answer.
@Suite("Ports and times that a client cannot guess")
struct GuessTests {
  /// Pearson's statistic of counts that should all be equal.
  private func chiSquared(_ counts: [Int]) -> Double {
    let expected = Double(counts.reduce(0, +)) / Double(counts.count)
    return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
  }

  @Test("Relay ports are equally likely, and no port predicts the next", arguments: [1 as UInt8, 2, 3])
  func ports(seed: UInt8) throws {
    let address = IPAddress(ipv4: 0x7F00_0001)
    let relayed = RelayedAddresses(
      entries: [RelayedAddresses.Entry(local: address, advertised: address)], ports: 40_000...56_383)
    var picker = PortPicker(
      relayed: relayed, shard: 0, shardCount: 1, generator: SeededGenerator(seed: [UInt8](repeating: seed, count: 32)))
    var counts = [Int](repeating: 0, count: 64)
    var steps = [Int](repeating: 0, count: 64)
    var last = 0
    let now = Instant(nanoseconds: 0)
    let owner = PortOwner(
      username: [1],
      client: ClientPath(
        address: SocketAddress(address, port: 1), endpoint: EndpointID(rawValue: 0), transport: .udp))
    for _ in 0..<4000 {
      let picked = picker.pick(.ipv4, parity: .any, for: owner, now: now)
      let port = Int(try #require(picked).port) - 40_000
      counts[port / 256] += 1
      steps[((port - last) & 16_383) / 256] += 1
      last = port
    }
    // 63 degrees of freedom: above 115 once in 20,000 times.
    #expect(chiSquared(counts) < 115)
    #expect(chiSquared(steps) < 115)
  }

  /// The shortest of many measured times: other work of the machine only adds to it.
  private func shortest(_ body: () -> Void) -> Duration {
    (0..<300).map { _ in ContinuousClock().measure(body) }.min() ?? .zero
  }

  @Test("The refusal of a wrong password takes as long as that of an unknown user")
  func names() {
    let conversation = Conversation()
    conversation.transcript.isKept = false
    let client = TestClient(conversation)
    client.challenge()
    client.key = Conversation.otherKey
    let known = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    client.username = "alicf"
    let unknown = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    func time(_ request: [UInt8]) -> Duration {
      shortest {
        // Failed logins would be limited.
        conversation.now.instant = conversation.now.instant.advanced(by: .seconds(1))
        _ = conversation.relay.receive(request.span.rawBytes, from: client.path, now: conversation.now)
      }
    }
    let ratio = time(known) / time(unknown)
    #expect((0.6...1.6).contains(ratio), "\(ratio)")
  }
}
