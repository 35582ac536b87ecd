import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Binding and Allocate")
struct AllocateTests {
  @Test("A Binding response has the source address, in 32 bytes")
  func binding() throws {
    let client = TestClient(Conversation())
    let answer = try #require(client.ask(client.request(.binding, signs: false)))
    #expect(answer.type == MessageType(.binding, .success))
    #expect(answer.mappedAddress == client.path.address)
    #expect(answer.bytes.count == 32)
  }

  @Test("A 420 names an unknown comprehension-required attribute")
  func unknownAttribute() {
    let client = TestClient(Conversation())
    let request = client.request(.binding, signs: false) { $0.append(AttributeType(rawValue: 0x7FF1), UInt32(1)) }
    let answer = client.ask(request)
    #expect(answer?.code == 420)
    #expect(answer?.unknown == [0x7F, 0xF1])
  }

  @Test("An Allocate without credentials gets a challenge, one with credentials a signed relayed address")
  func allocate() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let challenge = client.challenge()
    #expect(challenge?.code == 401)
    #expect(challenge?.isSigned == false)
    #expect(conversation.relay.allocationCount == 0)
    let answer = client.allocate()
    #expect(answer?.type == MessageType(.allocate, .success))
    #expect(answer?.relayedAddress?.address == IPAddress("203.0.113.1"))
    #expect(answer.map { (50_000...50_999).contains($0.relayedAddress?.port ?? 0) } == true)
    #expect(answer?.mappedAddress == client.path.address)
    #expect(answer?.lifetime == 600)
    #expect(answer?.isSigned == true)
    #expect(conversation.openPorts.count == 1)
  }

  @Test("A retransmitted Allocate gets the same answer, another one on the five-tuple 437")
  func retransmission() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    let first = client.ask(request)
    let second = client.ask(request)
    #expect(first?.bytes == second?.bytes)
    #expect(first?.relayedAddress != nil)
    #expect(conversation.relay.allocationCount == 1)
    #expect(client.allocate()?.code == 437)
  }

  @Test("A wrong password gives 401 with a nonce, and so does an unknown user")
  func wrongPassword() {
    let client = TestClient(Conversation())
    client.challenge()
    client.key = Conversation.otherKey
    let answer = client.allocate()
    #expect(answer?.code == 401)
    #expect(answer?.nonce != nil)
    client.username = "nobody"
    #expect(client.allocate()?.code == 401)
  }

  @Test("MESSAGE-INTEGRITY without USERNAME, REALM or NONCE gives 400")
  func incompleteCredentials() {
    let client = TestClient(Conversation())
    for left in [AttributeType.username, .realm, .nonce] {
      let request = client.request(.allocate, signs: false) { writer in
        for attribute in [AttributeType.username, .realm, .nonce] where attribute != left {
          writer.append(attribute, text: "example.org")
        }
        var authenticator = MessageAuthenticator()
        authenticator.sign(&writer, key: Conversation.key)
      }
      #expect(client.ask(request)?.code == 400)
    }
  }

  @Test("An expired nonce, one of another address and a made-up one give 438 with a new nonce")
  func staleNonce() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    let other = TestClient(conversation, "192.0.2.7:5001")
    other.nonce = client.nonce
    #expect(other.allocate()?.code == 438)
    client.nonce[3] ^= 1
    #expect(client.allocate()?.code == 438)
    client.challenge()
    conversation.wait(seconds: 601)
    let stale = client.allocate()
    #expect(stale?.code == 438)
    client.nonce = stale?.nonce ?? []
    #expect(client.allocate()?.relayedAddress != nil)
  }

  @Test("A stale nonce in Refresh keeps the allocation")
  func staleNonceKeeps() {
    let conversation = Conversation { $0.policy.nonceLifetime = .seconds(60) }
    let client = TestClient(conversation)
    client.allocate()
    conversation.wait(seconds: 100)
    #expect(client.refresh(600)?.code == 438)
    #expect(conversation.relay.allocationCount == 1)
  }

  struct Refusal: Sendable {
    var name: String
    var code: UInt16
    var body: @Sendable (inout MessageWriter) -> Void
  }

  @Test(
    "RFC 8656, 7.2: a wrong Allocate gives its error code",
    arguments: [
      Refusal(name: "no REQUESTED-TRANSPORT", code: 400) { _ in },
      Refusal(name: "REQUESTED-TRANSPORT of three bytes", code: 400) { $0.append(.requestedTransport, [17, 0, 0]) },
      Refusal(name: "SCTP", code: 442) { $0.append(.requestedTransport, UInt32(132) << 24) },
      Refusal(name: "family 3", code: 440) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.requestedAddressFamily, UInt32(3) << 24)
      },
      Refusal(name: "a token and EVEN-PORT", code: 400) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.reservationToken, UInt64(1))
        $0.append(.evenPort, [UInt8(0)])
      },
      Refusal(name: "a token that was never given", code: 508) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.reservationToken, UInt64(0x00C3_5100_0000_0000))
      },
      Refusal(name: "an unknown attribute", code: 420) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(AttributeType(rawValue: 0x7FF0), UInt32(1))
      },
    ])
  func refusals(refusal: Refusal) {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    let answer = client.ask(client.request(.allocate, refusal.body))
    #expect(answer?.code == refusal.code, "\(refusal.name)")
    #expect(answer?.isSigned == true)
    #expect(conversation.admitted == 0)
    #expect(conversation.openPorts.isEmpty)
  }

  @Test("A client that requests IPv6 gets an IPv6 relayed transport address")
  func ipv6() {
    let client = TestClient(Conversation())
    let answer = client.allocate { $0.append(.requestedAddressFamily, UInt32(2) << 24) }
    #expect(answer?.relayedAddress?.address == IPAddress("2001:db8::1"))
  }

  @Test(
    "The granted lifetime lies between default and maximum",
    arguments: [(nil, 600), (1, 600), (777, 777), (3600, 3600), (4_000_000_000, 3600)] as [(UInt32?, UInt32)])
  func lifetimes(wish: UInt32?, granted: UInt32) {
    let client = TestClient(Conversation())
    #expect(client.allocate { if let wish { $0.append(.lifetime, wish) } }?.lifetime == granted)
    #expect(client.refresh(wish)?.lifetime == granted)
  }

  @Test("An Allocate beyond the quota gives 486, and a deleted allocation frees its part")
  func quota() {
    let conversation = Conversation()
    conversation.quota = 1
    let first = TestClient(conversation)
    let second = TestClient(conversation, "192.0.2.8:5000")
    #expect(first.allocate()?.relayedAddress != nil)
    #expect(second.allocate()?.code == 486)
    #expect(first.refresh(0)?.lifetime == 0)
    #expect(second.allocate()?.relayedAddress != nil)
    #expect(conversation.admitted == 1)
  }

  @Test("A port of another process is skipped; if all are taken, 508 leaves no state")
  func busyPorts() {
    let conversation = Conversation(ports: 50_000...50_003)
    conversation.busyPorts = 3
    let client = TestClient(conversation)
    #expect(client.allocate()?.relayedAddress != nil)
    for index in 1...3 { #expect(TestClient(conversation, "192.0.2.9:600\(index)").allocate()?.relayedAddress != nil) }
    let last = TestClient(conversation, "192.0.2.9:6009")
    #expect(last.allocate()?.code == 508)
    #expect(conversation.admitted == 4)
    #expect(conversation.openPorts.count == 4)
  }

  @Test("The RESERVATION-TOKEN of EVEN-PORT opens the next port once, and expires after 30 s")
  func evenPort() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let answer = try #require(client.allocate { $0.append(.evenPort, [UInt8(0x80)]) })
    let token = try #require(answer.token)
    let port = try #require(answer.relayedAddress?.port)
    #expect(port % 2 == 0)
    let second = TestClient(conversation, "192.0.2.8:5000")
    #expect(second.allocate { $0.append(.reservationToken, token) }?.relayedAddress?.port == port + 1)
    let third = TestClient(conversation, "192.0.2.9:5000")
    #expect(third.allocate { $0.append(.reservationToken, token) }?.code == 508)

    let other = TestClient(conversation, "192.0.2.10:5000")
    let lapsing = try #require(other.allocate { $0.append(.evenPort, [UInt8(0x80)]) }?.token)
    conversation.wait(seconds: 31)
    #expect(third.allocate { $0.append(.reservationToken, lapsing) }?.code == 508)
  }

  @Test("The end of a used reservation does not end a later one of the same port")
  func reservedAgain() throws {
    let conversation = Conversation(ports: 50_000...50_001)
    let client = TestClient(conversation)
    let first = try #require(client.allocate { $0.append(.evenPort, [UInt8(0x80)]) }?.token)
    let second = TestClient(conversation, "192.0.2.8:5000")
    conversation.wait(seconds: 10)
    #expect(second.allocate { $0.append(.reservationToken, first) }?.relayedAddress?.port == 50_001)
    second.refresh(0)
    client.refresh(0)
    conversation.wait(seconds: 10)
    let again = try #require(client.allocate { $0.append(.evenPort, [UInt8(0x80)]) }?.token)
    // After 30 s the first reservation has expired, and the second one has not.
    conversation.wait(seconds: 11)
    #expect(TestClient(conversation, "192.0.2.9:1").allocate()?.code == 508)
    #expect(second.allocate { $0.append(.reservationToken, again) }?.relayedAddress?.port == 50_001)
  }

  @Test("A user has a limited number of reservations, and used ones no longer count")
  func manyReservations() throws {
    let conversation = Conversation()
    func pair(_ number: Int) -> Answer? {
      TestClient(conversation, "192.0.2.\(number % 200 + 1):\(5000 + number)").allocate {
        $0.append(.evenPort, [UInt8(0x80)])
      }
    }
    var tokens: [UInt64] = []
    for number in 0..<ReservationTable.limit { tokens.append(try #require(pair(number)?.token)) }
    #expect(pair(50)?.code == 508)
    for (number, token) in tokens.enumerated() {
      let client = TestClient(conversation, "192.0.2.\(number + 1):6000")
      #expect(client.allocate { $0.append(.reservationToken, token) }?.relayedAddress != nil)
    }
    for number in 60..<60 + ReservationTable.limit { #expect(pair(number)?.token != nil) }
    #expect(pair(90)?.code == 508)
    conversation.wait(seconds: 31)
    #expect(pair(91)?.token != nil)
    #expect(conversation.relay.reservations.count == 1)
  }

  @Test("While draining, new allocations are refused and live ones are kept")
  func draining() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    var settings = conversation.relay.settings
    settings.isDraining = true
    let gate = conversation.relay.rules.gate
    conversation.relay.update(settings: settings, gate: gate)
    #expect(TestClient(conversation, "192.0.2.8:5000").allocate()?.code == 508)
    #expect(client.refresh(600)?.lifetime == 600)
  }

  @Test("With auth.anonymous nothing is signed and every method works")
  func anonymous() {
    let conversation = Conversation { $0.policy.isAnonymous = true }
    let client = TestClient(conversation)
    client.key = nil
    let answer = client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    #expect(answer?.relayedAddress != nil)
    #expect(client.permit("198.51.100.1:1")?.code == 403)
    #expect(client.permit("8.8.8.8:1")?.code == nil)
  }
}
