import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Requests without valid authentication")
struct StrangerTests {
  /// A nonce of the right form that this server did not make.
  static let madeUp = Array("obMatJos2wAAA".utf8) + [UInt8](repeating: 65, count: 16)

  @Test(
    "A nonce that was not made for this address gives 438 without a look-up of the user",
    arguments: TransportProtocol.allCases)
  func foreignNonce(transport: TransportProtocol) {
    let conversation = Conversation(limit: 20) { $0.realms[0].hasStore = true }
    let client = TestClient(conversation, transport: transport)
    let other = TestClient(conversation, "192.0.2.7:5001", transport: transport)
    other.challenge()
    for name in ["alice", "somebody"] {
      client.username = name
      for nonce in [Self.madeUp, other.nonce, [1, 2, 3]] {
        client.nonce = nonce
        #expect(client.allocate()?.code == 438)
      }
    }
    #expect(conversation.lookUps.isEmpty)
    #expect(conversation.relay.pending.count == 0)
    // The nonce in the 438 response is valid.
    client.username = "alice"
    client.nonce = client.allocate()?.nonce ?? []
    #expect(client.allocate()?.relayedAddress != nil)
  }

  @Test("438 for a foreign nonce counts against the stranger's budget, and beyond it there is no answer")
  func budget() {
    let conversation = Conversation(limit: 20) { $0.realms[0].hasStore = true }
    let client = TestClient(conversation)
    client.username = "somebody"
    client.nonce = Self.madeUp
    let answers = (0..<100).compactMap { _ in client.allocate() }
    #expect(answers.count == 20)
    #expect(answers.allSatisfy { $0.code == 438 })
    #expect(conversation.lookUps.isEmpty)
  }

  @Test("The client of a live allocation gets its 438 although others use up its address's budget")
  func liveAllocation() {
    let conversation = Conversation(limit: 20)
    let client = TestClient(conversation)
    client.allocate()
    let attacker = TestClient(conversation, "192.0.2.7:6000")
    for _ in 0..<50 { attacker.challenge() }
    client.nonce = Self.madeUp
    let renewed = client.refresh(600)
    #expect(renewed?.code == 438)
    // A client without the key gets no answer from this address.
    client.key = Conversation.otherKey
    #expect(client.refresh(600) == nil)
    client.key = Conversation.key
    client.nonce = renewed?.nonce ?? []
    #expect(client.refresh(600)?.lifetime == 600)
  }

  @Test("An expired nonce still proves the address: the store is asked, then 438 is sent")
  func staleNonce() throws {
    let conversation = Conversation {
      $0.realms[0].hasStore = true
      $0.realms[0].users = [:]
    }
    let client = TestClient(conversation)
    client.challenge()
    conversation.wait(seconds: 700)
    #expect(client.allocate() == nil)
    let ticket = try #require(conversation.lookUps.first).ticket
    conversation.relay.keysFound(ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
    conversation.runCommands()
    #expect(client.read(try #require(conversation.lateReplies.last).1)?.code == 438)
  }
}
