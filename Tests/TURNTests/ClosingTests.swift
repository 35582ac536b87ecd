import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Allocations that an operator closes together.
@Suite("Closing many allocations")
struct ClosingTests {
  private func client(
    _ conversation: Conversation, _ username: String, secret: String, _ address: String
  ) -> TestClient {
    let client = TestClient(conversation, address)
    client.username = username
    client.key = LongTermKey.md5(
      username: Array(username.utf8), realm: Array(Conversation.realm.utf8),
      password: TimeLimitedCredential.password(username: Array(username.utf8), secret: Array(secret.utf8)))
    return client
  }

  private func close(_ conversation: Conversation, _ selection: SessionSelection) -> Int {
    let (ended, next) = conversation.relay.endAllocations(selection, from: 0, slots: 1000, now: conversation.now)
    #expect(next == nil)
    conversation.runCommands()
    return ended
  }

  /// The names of the allocations that were closed, in order, and the reasons.
  private func closed(_ conversation: Conversation) -> [String] {
    conversation.events.compactMap { event in
      guard case .allocationClosed(let summary, let reason) = event else { return nil }
      return "\(String(decoding: summary.username, as: UTF8.self)) \(reason.rawValue)"
    }
  }

  @Test("Closing a user ends the allocations whose whole name is one of the given forms, and no others")
  func user() {
    let conversation = Conversation()
    let alice = [TestClient(conversation), TestClient(conversation, "192.0.2.8:5000")]
    let bob = TestClient(conversation, "192.0.2.9:5000")
    bob.username = "bob"
    bob.key = Conversation.otherKey
    for client in alice + [bob] { #expect(client.allocate()?.relayedAddress != nil) }
    #expect(close(conversation, .user(.default, names: [Array("alic".utf8), Array("ALICE".utf8)])) == 0)
    #expect(close(conversation, .user(RealmID(rawValue: 1), names: [Array("alice".utf8)])) == 0)
    #expect(close(conversation, .user(.default, names: [Array("x".utf8), Array("alice".utf8)])) == 2)
    #expect(closed(conversation) == ["alice closed", "alice closed"])
    #expect(alice[0].refresh(600)?.code == 437)
    #expect(bob.refresh(600)?.code == nil && conversation.relay.allocationCount == 1)
    #expect(conversation.openPorts.count == 1 && conversation.admitted == 1)
  }

  @Test("Only time-limited names that no present secret has signed are revoked")
  func revoked() {
    let conversation = Conversation { $0.realms[0].secrets = [Array("old".utf8), Array("new".utf8)] }
    let old = client(conversation, "1800000100:carol", secret: "old", "192.0.2.8:5000")
    let new = client(conversation, "1800000100:dave", secret: "new", "192.0.2.9:5000")
    let alice = TestClient(conversation)
    for client in [old, new, alice] { #expect(client.allocate()?.relayedAddress != nil) }
    #expect(close(conversation, .revoked(.default)) == 0)
    conversation.change { $0.realms[0].secrets = [Array("new".utf8)] }
    #expect(close(conversation, .revoked(RealmID(rawValue: 1))) == 0)
    #expect(close(conversation, .revoked(.default)) == 1)
    #expect(closed(conversation) == ["1800000100:carol closed"])
    #expect(alice.refresh(600)?.code == nil)
    #expect(old.allocate()?.code == 401)
    #expect(new.refresh(600)?.code == nil)
    // Without any secret every time-limited name is revoked.
    conversation.change { $0.realms[0].secrets = [] }
    #expect(close(conversation, .revoked(.default)) == 1)
    #expect(conversation.relay.hasAllocation(alice.path) && conversation.relay.allocationCount == 1)
  }

  @Test("A long table is closed in parts of a bounded number of slots")
  func parts() {
    let conversation = Conversation()
    for number in 1...7 { _ = TestClient(conversation, "192.0.2.\(number):5000").allocate() }
    var position: UInt32? = 0
    var steps: [Int] = []
    while let from = position {
      let (ended, next) = conversation.relay.endAllocations(
        .clients(CIDRBlock("192.0.2.0/30")!), from: from, slots: 3, now: conversation.now)
      conversation.runCommands()
      steps.append(ended)
      position = next
    }
    #expect(steps.reduce(0, +) == 3 && steps.count == 3)
    #expect(conversation.relay.allocationCount == 4)
  }
}
