import Crypto
import STUN
import Testing

@testable import TURN

@Suite("Time-limited credentials and stores")
struct CredentialTests {
  func client(_ conversation: Conversation, _ username: String, secret: String) -> TestClient {
    let client = TestClient(conversation)
    client.username = username
    client.key = LongTermKey.md5(
      username: Array(username.utf8), realm: Array(Conversation.realm.utf8),
      password: TimeLimitedCredential.password(username: Array(username.utf8), secret: Array(secret.utf8)))
    return client
  }

  @Test(
    "Each of several secrets is valid, another one is not",
    arguments: [("new", true), ("old", true), ("x", false)])
  func secrets(secret: String, isGood: Bool) {
    let conversation = Conversation { $0.realms[0].secrets = [Array("new".utf8), Array("old".utf8)] }
    let answer = client(conversation, "1800000100:carol", secret: secret).allocate()
    #expect((answer?.relayedAddress != nil) == isGood)
    #expect((answer?.code == 401) == !isGood)
  }

  @Test("The expiry of a credential is checked at Allocate only")
  func expiry() {
    let conversation = Conversation { $0.realms[0].secrets = [Array("new".utf8)] }
    let client = client(conversation, "1800000100:carol", secret: "new")
    #expect(client.allocate()?.relayedAddress != nil)
    conversation.wait(seconds: 200)
    #expect(client.refresh(600)?.lifetime == 600)
    #expect(client.permit("8.8.8.8:1")?.code == nil)
    #expect(client.refresh(0)?.lifetime == 0)
    #expect(client.allocate()?.code == 401)
  }

  @Test("With no-refresh an expired name gets 403 for Refresh, and may still delete its allocation")
  func noRefresh() {
    let conversation = Conversation {
      $0.realms[0].secrets = [Array("new".utf8)]
      $0.policy.onCredentialExpiry = .noRefresh
    }
    let client = client(conversation, "1800000100:carol", secret: "new")
    #expect(client.allocate()?.relayedAddress != nil)
    #expect(client.refresh(600)?.lifetime == 600)
    conversation.wait(seconds: 200)
    #expect(client.refresh(600)?.code == 403)
    #expect(client.permit("8.8.8.8:1")?.code == nil)
    #expect(client.refresh(0)?.lifetime == 0)
  }

  @Test("With close an allocation lives no longer than its time-limited name")
  func close() {
    let conversation = Conversation {
      $0.realms[0].secrets = [Array("new".utf8)]
      $0.policy.onCredentialExpiry = .close
    }
    let client = client(conversation, "1800000100:carol", secret: "new")
    #expect(client.allocate()?.lifetime == 100)
    conversation.wait(seconds: 60)
    #expect(client.refresh(600)?.lifetime == 40)
    conversation.wait(seconds: 41)
    #expect(client.refresh(600)?.code == 437)
    #expect(conversation.relay.allocationCount == 0)
  }

  @Test("Quotas count the part of the name after the first colon, or all of it if that part is empty")
  func quotaName() {
    #expect(TimeLimitedCredential.quotaName(ofUsername: Array("99:carol:x".utf8)) == Array("carol:x".utf8))
    #expect(TimeLimitedCredential.quotaName(ofUsername: Array("99:".utf8)) == Array("99:".utf8))
    #expect(TimeLimitedCredential.quotaName(ofUsername: Array("99".utf8)) == Array("99".utf8))
  }

  @Test("A request waits for the store, its retransmission joins it, and one answer is sent")
  func store() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    #expect(client.ask(request) == nil)
    #expect(client.ask(request) == nil)
    #expect(conversation.lookUps.count == 1)
    let ticket = conversation.lookUps[0].ticket
    conversation.relay.keysFound(ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
    conversation.runCommands()
    #expect(conversation.lateReplies.count == 1)
    #expect(client.read(conversation.lateReplies[0].1)?.relayedAddress != nil)
    // A second answer to the same ticket is ignored.
    conversation.relay.keysFound(ticket, nil, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.lateReplies.count == 1)
  }

  @Test("An unknown user gives 401, a failed store 500, and a silent store no answer")
  func storeFailures() {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
      $0.waitingRequestsPerSource = 2
    }
    let client = TestClient(conversation)
    client.challenge()
    func ask() -> Disposition {
      client.send(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    }
    _ = ask()
    conversation.relay.keysFound(conversation.lookUps[0].ticket, nil, now: conversation.now)
    conversation.runCommands()
    #expect(client.read(conversation.lateReplies[0].1)?.code == 401)
    _ = ask()
    conversation.relay.keysUnavailable(conversation.lookUps[1].ticket, now: conversation.now)
    conversation.runCommands()
    #expect(client.read(conversation.lateReplies[1].1)?.code == 500)
    _ = ask()
    _ = ask()
    #expect(ask().drop == .tooManyWaiting)
    conversation.wait(seconds: 41)
    #expect(conversation.relay.pending.count == 0)
  }

  @Test("Requests for an allocation are checked with its own key, without the store")
  func liveAllocation() {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    let client = TestClient(conversation)
    client.challenge()
    _ = client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    conversation.relay.keysFound(
      conversation.lookUps[0].ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
    conversation.runCommands()
    #expect(client.refresh(600)?.lifetime == 600)
    #expect(conversation.lookUps.count == 1)
  }

  @Test("A stranger gets one second's budget of answers at once, then none, then answers again")
  func rateLimit() {
    let conversation = Conversation(limit: 5)
    let client = TestClient(conversation)
    var answers = 0
    for _ in 0..<20 where client.ask(client.request(.binding, signs: false)) != nil { answers += 1 }
    #expect(answers == 5)
    let neighbour = TestClient(conversation, "192.0.2.8:5000")
    #expect(neighbour.ask(neighbour.request(.binding, signs: false)) != nil)
    conversation.wait(seconds: 1)
    #expect(client.ask(client.request(.binding, signs: false)) != nil)
  }

  @Test("Valid requests never count against a stranger's budget")
  func rateLimitValid() {
    let conversation = Conversation(limit: 1)
    let client = TestClient(conversation)
    client.allocate()
    for _ in 0..<50 { #expect(client.refresh(600)?.lifetime == 600) }
  }
}
