import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Capture of one user's messages")
struct CaptureTests {
  private func user(_ name: String, _ names: CaptureFilter.Names = .whole) -> CaptureFilter {
    CaptureFilter(user: Array(name.utf8), names: names)
  }

  @Test("A capture has the requests, answers and indications of its user, and nothing of another user")
  func conversation() throws {
    let conversation = Conversation()
    conversation.relay.capture(user("alice"))
    let alice = TestClient(conversation)
    let bob = TestClient(conversation, "192.0.2.8:5000")
    (bob.username, bob.key) = ("bob", Conversation.otherKey)
    for client in [alice, bob] {
      let relayed = try #require(client.allocate()?.relayedAddress)
      client.permit("8.8.8.8:0")
      client.bind(0x4000, "8.8.8.8:53")
      _ = client.channelData(0x4000, [1, 2, 3])
      _ = client.sendIndication("8.8.8.8:99", Array("secret data".utf8))
      _ = client.hear(Array("more of it".utf8), from: "8.8.8.8:99", on: relayed)
      client.refresh(0)
    }
    #expect(conversation.captured.allSatisfy { $0.client == alice.path })
    let types = conversation.captured.compactMap { (try? MessageView($0.bytes.span.rawBytes))?.type.method }
    #expect(
      types == [
        .allocate, .allocate, .createPermission, .createPermission, .channelBind, .channelBind, .send, .data, .refresh,
        .refresh,
      ])
    let all = conversation.captured.flatMap(\.bytes)
    for secret in ["secret data", "more of it", String(decoding: alice.nonce, as: UTF8.self)] {
      #expect(!String(decoding: all, as: UTF8.self).contains(secret))
    }
    conversation.relay.capture(nil)
    conversation.captured = []
    alice.allocate()
    #expect(conversation.captured.isEmpty)
  }

  @Test("A capture has requests with a wrong password, answers after a store's look-up, and time-limited names")
  func otherRequests() {
    let conversation = Conversation { $0.realms[0].hasStore = true }
    conversation.relay.capture(user("carol"))
    let client = TestClient(conversation)
    client.challenge()
    client.username = "1800000600:carol"
    client.allocate()
    if let lookUp = conversation.lookUps.first {
      conversation.relay.keysFound(lookUp.ticket, nil, now: conversation.now)
      conversation.runCommands()
    }
    #expect(conversation.captured.map(\.isFromClient) == [true, false])
    let other = TestClient(conversation, "192.0.2.9:5000")
    other.username = "xcarol"
    other.allocate()
    #expect(conversation.captured.count == 2)
  }

  @Test("A capture remembers the user's last 64 client paths")
  func limit() {
    var state = CaptureState(user("alice"))
    let paths = (0..<100).map { number in
      ClientPath(
        address: SocketAddress(.ipv4Loopback, port: UInt16(1000 + number)), endpoint: EndpointID(rawValue: 0),
        transport: .udp)
    }
    for path in paths + paths.suffix(3) { state.remember(path) }
    #expect(paths.map { state.knows($0) } == (0..<100).map { $0 >= 36 })
  }

  // MARK: - Redaction

  /// A message with every kind of secret.
  private func message() -> [UInt8] {
    var writer = MessageWriter(capacity: 2048)
    writer.begin(MessageType(.allocate, .request), transactionID: TransactionID(high: 1, low: 2))
    writer.append(.lifetime, UInt32(600))
    for type in [
      AttributeType.nonce, .reservationToken, .mobilityTicket, .accessToken, AttributeType(rawValue: 0x7777),
    ] {
      writer.append(type, Array("sEcReT!".utf8))
    }
    writer.append(.data, Array("data".utf8))
    writer.append(.username, text: "1800000600:alice")
    writer.append(.realm, text: "example.org")
    var authenticator = MessageAuthenticator()
    authenticator.sign(&writer, key: Conversation.key)
    writer.appendFingerprint()
    return writer.bytes.copied()
  }

  @Test(
    "The copy has zeros for secrets, what the policy allows of names, and a valid FINGERPRINT",
    arguments: [
      (CaptureFilter.Names.whole, "1800000600:alice"), (.beginning, "1800000600:al***"), (.none, "****************"),
    ])
  func redaction(names: CaptureFilter.Names, expected: String) throws {
    let bytes = message()
    let redacted = Redaction.copy(of: bytes.span.rawBytes, names: names)
    let copy = try #require(redacted)
    let view = try MessageView(copy.span.rawBytes)
    let fingerprint = Fingerprint.verify(view)
    #expect(fingerprint == true)
    let lifetime = try view.lifetime()
    #expect(lifetime == 600)
    let name = view.value(of: .username)?.copied()
    #expect(name == Array(expected.utf8))
    for type in [AttributeType.nonce, .reservationToken, .mobilityTicket, .accessToken, .messageIntegrity] {
      let value = view.value(of: type)?.copied()
      #expect(value?.allSatisfy { $0 == 0 } == true, "\(type)")
    }
    let data = view.value(of: .data)?.byteCount
    #expect(data == 0)
    #expect(!String(decoding: copy, as: UTF8.self).contains("sEcReT"))
  }

  @Test("Short names and truncated messages are redacted too")
  func edges() {
    for (name, expected) in [
      ("a", "a"), ("ab", "ab"), ("abc", "ab*"), ("12", "12"), ("12:", "12:"), ("12:abc", "12:ab*"),
    ] {
      var writer = MessageWriter(capacity: 128)
      writer.begin(MessageType(.allocate, .request), transactionID: TransactionID(high: 1, low: 2))
      writer.append(.username, text: name)
      let copy = Redaction.copy(of: writer.bytes, names: .beginning) ?? []
      #expect(Array(copy[24...].prefix(name.utf8.count)) == Array(expected.utf8))
    }
    let bytes = message()
    for count in 0..<bytes.count {
      let copy = Redaction.copy(of: bytes.span.rawBytes.extracting(0..<count), names: .none)
      #expect((copy == nil) == (count < 20))
      #expect(!String(decoding: copy ?? [], as: UTF8.self).contains("sEcReT"))
      if let copy { #expect(Int(copy[2]) << 8 | Int(copy[3]) == copy.count - 20) }
    }
  }
}
