import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 8489 section 10: ALTERNATE-SERVER")
struct RedirectTests {
  func conversation(_ server: String, port: UInt16?, domain: String = "") -> Conversation {
    Conversation { $0.policy.redirect = Redirect(AlternateServer(IPAddress(server)!, port: port), domain: domain) }
  }

  @Test(
    "An authenticated Allocate gets a signed 300 with the address, and with the domain if there is one",
    arguments: [
      (TransportProtocol.udp, nil, "", "198.51.100.1:3478"), (.tls, nil, "b.example", "198.51.100.1:5349"),
      (.tcp, 4000, "", "198.51.100.1:4000"),
    ] as [(TransportProtocol, UInt16?, String, String)])
  func redirects(transport: TransportProtocol, port: UInt16?, domain: String, expected: String) throws {
    let conversation = conversation("198.51.100.1", port: port, domain: domain)
    let client = TestClient(conversation, transport: transport)
    #expect(client.challenge()?.code == 401)
    let answer = try #require(client.allocate())
    #expect(answer.code == 300)
    #expect(answer.isSigned)
    let message = try MessageView(answer.bytes.span.rawBytes)
    let server = try message.plainAddress(.alternateServer)
    let name = message.value(of: .alternateDomain)?.copied()
    #expect(server == SocketAddress(expected))
    #expect(name == (domain.isEmpty ? nil : Array(domain.utf8)))
    #expect(conversation.admitted == 0)
    #expect(conversation.openPorts.isEmpty)
  }

  @Test("Binding and unauthenticated requests are not redirected, and wrong requests get their own error")
  func strangers() {
    let conversation = conversation("198.51.100.1", port: nil)
    let client = TestClient(conversation)
    #expect(client.ask(client.request(.binding, signs: false))?.mappedAddress == client.path.address)
    client.challenge()
    #expect(client.ask(client.request(.allocate))?.code == 400)
    client.key = Conversation.otherKey
    #expect(client.allocate()?.code == 401)
    let anonymous = Conversation {
      $0.policy.isAnonymous = true
      $0.policy.redirect = Redirect(AlternateServer(IPAddress("198.51.100.1")!, port: nil))
    }
    let stranger = TestClient(anonymous)
    stranger.key = nil
    #expect(stranger.challenge()?.relayedAddress != nil)
  }

  @Test("A client of the other family is served, because it cannot reach the alternate server")
  func otherFamily() {
    let conversation = conversation("2001:db8::5", port: nil)
    #expect(TestClient(conversation).allocate()?.relayedAddress != nil)
    #expect(TestClient(conversation, "[2001:db8::77]:5000").allocate()?.code == 300)
  }
}

@Suite("RFC 3489: classic Binding")
struct ClassicTests {
  /// A request: type, length, 16 bytes of transaction, attributes.
  static func request(_ attributes: [UInt8] = []) -> [UInt8] {
    [0, 1, 0, UInt8(attributes.count)] + Array(1...16) + attributes
  }

  func reply(to bytes: [UInt8], isOn: Bool = true, transport: TransportProtocol = .udp, limit: UInt32 = 0) -> [UInt8]? {
    let conversation = Conversation(limit: limit) { $0.policy.answersClassicSTUN = isOn }
    let client = TestClient(conversation, transport: transport)
    guard case .reply = conversation.receive(bytes, from: client.path) else {
      return nil
    }
    return conversation.relay.copiedReply()
  }

  /// 192.0.2.7:5000 in a MAPPED-ADDRESS, under the transaction of `request`.
  static let mapped: [UInt8] =
    [1, 1, 0, 12] + Array(1...16) + [0, 1, 0, 8, 0, 1, 0x13, 0x88, 192, 0, 2, 7]

  @Test("8.1: MAPPED-ADDRESS is sent, with all 16 bytes of the transaction ID")
  func binding() { #expect(reply(to: Self.request()) == Self.mapped) }

  @Test(
    "Credentials and a CHANGE-REQUEST without flags change nothing",
    arguments: [
      [0, 3, 0, 4, 0, 0, 0, 0], [0, 6, 0, 4, 65, 66, 67, 68],
      [0x80, 0x22, 0, 3, 65, 66, 67, 0],
    ] as [[UInt8]])
  func ignored(attributes: [UInt8]) { #expect(reply(to: Self.request(attributes)) == Self.mapped) }

  @Test(
    "An unsupported attribute gives 420 with its type, written twice to make the count even",
    arguments: [
      ([0, 3, 0, 4, 0, 0, 0, 6], 3), ([0, 3, 0, 4, 0, 0, 0, 2], 3), ([0, 3, 0, 4, 0, 0, 0, 4], 3),
      ([0x7F, 1, 0, 0], 1),
    ] as [([UInt8], UInt8)])
  func refused(attributes: [UInt8], low: UInt8) throws {
    let answer = try #require(reply(to: Self.request(attributes)))
    #expect(Array(answer.prefix(2)) == [0x01, 0x11])
    #expect(Array(answer[4..<20]) == Array(1...16))
    #expect(Array(answer.suffix(8)) == [0, 0x0A, 0, 4, attributes[0], low, attributes[0], low])
  }

  @Test("With the key off, over a stream and for other messages there is no answer")
  func silence() {
    #expect(reply(to: Self.request(), isOn: false) == nil)
    #expect(reply(to: Self.request(), transport: .tcp) == nil)
    #expect(reply(to: Self.request([0, 3, 0, 8, 0, 0, 0, 0])) == nil)
    var other = Self.request()
    other[1] = 2
    #expect(reply(to: other) == nil)
    #expect(reply(to: Array(Self.request().dropLast())) == nil)
    #expect(reply(to: Self.request() + [0, 0, 0, 0]) == nil)
  }

  @Test("A classic Binding counts against the stranger's budget")
  func budget() {
    let conversation = Conversation(limit: 3) { $0.policy.answersClassicSTUN = true }
    let client = TestClient(conversation)
    var answers = 0
    for _ in 0..<9 { if case .reply = client.send(Self.request()) { answers += 1 } }
    #expect(answers == 3)
  }
}
