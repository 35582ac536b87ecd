import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("Answers for abandoned requests")
struct LateAnswerTests {
  /// Sends an Allocate; the ledger does not answer its request for admission.
  private func begin() throws -> (
    conversation: Conversation, client: TestClient, ticket: Handle<PendingRequest>, holder: QuotaHolder
  ) {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    let disposition = conversation.receive(request, from: client.path)
    guard case .deferred = disposition, case .admit(let ticket, let holder)? = conversation.relay.popCommand() else {
      throw Unexpected()
    }
    while conversation.relay.popCommand() != nil {}
    return (conversation, client, ticket, holder)
  }

  private struct Unexpected: Error {}

  /// The pending commands in the transcript's words.
  private func commands(_ conversation: Conversation) -> [String] {
    var words: [String] = []
    while let command = conversation.relay.popCommand() { words.append(conversation.describe(command)) }
    return words
  }

  @Test("The admission of an abandoned request is returned to the ledger")
  func lateAdmission() throws {
    let (conversation, client, ticket, holder) = try begin()
    conversation.wait(seconds: 120)
    conversation.relay.admitted(ticket, .granted, holder, now: conversation.now)
    #expect(commands(conversation) == ["release \"alice\" 192.0.2.7 realm 0"])
    conversation.relay.admitted(ticket, .quotaReached, holder, now: conversation.now)
    #expect(commands(conversation).isEmpty)
    let exists = conversation.relay.hasAllocation(client.path)
    #expect(!exists)
  }

  @Test("The socket of an abandoned request is closed, and its admission returned")
  func lateSocket() throws {
    let (conversation, client, ticket, holder) = try begin()
    conversation.relay.admitted(ticket, .granted, holder, now: conversation.now)
    guard case .openRelayPort(let id, let address)? = conversation.relay.popCommand() else { throw Unexpected() }
    while conversation.relay.popCommand() != nil {}
    conversation.admitted = 1
    conversation.wait(seconds: 120)
    #expect(conversation.admitted == 0)
    conversation.openPorts[id] = address
    conversation.relay.relayPortOpened(id, now: conversation.now)
    #expect(commands(conversation) == ["close relay port \(address)"])
    let exists = conversation.relay.hasAllocation(client.path)
    #expect(!exists)
    // The port is free again, and its record is removed.
    conversation.relay.relayPortOpened(id, now: conversation.now)
    #expect(commands(conversation).count == 2)
  }

  @Test("The waiting time of an answer includes the store's time and the ledger's")
  func waitingTime() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    let client = TestClient(conversation)
    client.challenge()
    _ = client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    conversation.tick(seconds: 2)
    conversation.relay.keysFound(
      conversation.lookUps[0].ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
    conversation.tick(milliseconds: 500)
    conversation.runCommands()
    #expect(conversation.answerTimes == [2500])
  }

  @Test("Both ports of a pair that the kernel refused are available again")
  func refusedPair() throws {
    let conversation = Conversation(ports: 50_000...50_001, hasIPv6: false)
    conversation.busyPorts = 1
    let client = TestClient(conversation)
    let answer = client.allocate { $0.append(.evenPort, [UInt8(0x80)]) }
    #expect(answer?.relayedAddress?.port == 50_000 && answer?.token != nil)
  }

  @Test("The end of one relayed address keeps the permissions of the other family")
  func permissionsOfTheOtherFamily() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate { $0.append(.additionalAddressFamily, UInt32(2) << 24) }
    client.permit("8.8.8.8:0", "[2001:4860::8]:0")
    _ = client.ask(
      client.request(.refresh) {
        $0.append(.lifetime, UInt32(0))
        $0.append(.requestedAddressFamily, UInt32(1) << 24)
      })
    #expect(client.sendIndication("[2001:4860::8]:7000", [1]).peer == SocketAddress("[2001:4860::8]:7000"))
    #expect(client.sendIndication("8.8.8.8:7000", [1]).drop == .familyMismatch)
  }
}
