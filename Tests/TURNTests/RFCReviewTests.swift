import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Findings of an independent reading of RFC 8656 and RFC 8489, each with the text that it is based on.
@Suite("Findings of an independent review of the RFCs")
struct RFCReviewTests {
  /// A server whose address no built-in rule denies.
  static func publicServer(allow: [String] = []) -> Conversation {
    let local = IPAddress(8, 8, 4, 4)
    return Conversation(
      allow: allow,
      relayed: RelayedAddresses(
        entries: [RelayedAddresses.Entry(local: local, advertised: local)], ports: 50_000...50_999), own: [local])
  }

  @Test("A public address of the server is no peer, except for live relays")
  func ownPublicAddress() throws {
    let conversation = Self.publicServer()
    let alice = TestClient(conversation)
    let relayed = try #require(alice.allocate()?.relayedAddress)
    #expect(relayed.address == IPAddress(8, 8, 4, 4))
    #expect(alice.permit("8.8.4.4:22")?.code == nil)
    #expect(alice.sendIndication("8.8.4.4:53", [1]).drop == .forbiddenPeer)
    #expect(alice.bind(0x4000, "8.8.4.4:53")?.code == 403)
    #expect(alice.sendIndication("\(relayed)", [1]).drop != .forbiddenPeer)
    #expect(alice.permit("8.8.8.8:53")?.code == nil)
    #expect(alice.sendIndication("8.8.8.8:53", [1]).peer != nil)
  }

  @Test("A rule that allows the server's public address opens it")
  func allowedOwnAddress() {
    let alice = TestClient(Self.publicServer(allow: ["8.8.4.4/32"]))
    alice.allocate()
    alice.permit("8.8.4.4:53")
    #expect(alice.sendIndication("8.8.4.4:53", [1]).peer != nil)
  }

  @Test("The advertised form of a private address reaches live relays only")
  func advertisedForm() {
    let conversation = Conversation(advertise: "8.8.4.4")
    let alice = TestClient(conversation)
    alice.allocate()
    alice.permit("8.8.4.4:53")
    #expect(alice.sendIndication("8.8.4.4:53", [1]).drop == .forbiddenPeer)
  }

  @Test(
    "RFC 8656, 21.4: clients from tunnels get no answer",
    arguments: ["[2002:808:808::1]:5000", "[2001:0:1::1]:5000", "192.88.99.1:5000"])
  func tunnels(address: String) {
    let client = TestClient(Conversation(), address)
    #expect(client.allocate()?.code == 403)
  }

  @Test("RFC 8656, 13 to 15: DONT-FRAGMENT applies from IPv4 to IPv4 and from streams only")
  func dontFragment() {
    let cases: [(String, TransportProtocol, String, Bool)] = [
      ("192.0.2.7:5000", .udp, "8.8.8.8:9", true), ("[2001:db8::7]:5000", .udp, "8.8.8.8:9", false),
      ("192.0.2.7:5000", .udp, "[2a00::1]:9", false), ("192.0.2.7:5000", .tcp, "[2a00::1]:9", true),
      ("192.0.2.7:5000", .dtls, "[2a00::1]:9", false),
    ]
    for (address, transport, peer, isHonoured) in cases {
      let conversation = Conversation()
      let client = TestClient(conversation, address, transport: transport)
      client.allocate {
        if peer.hasPrefix("[") { $0.append(.requestedAddressFamily, UInt32(2) << 24) }
      }
      #expect(client.permit(peer)?.code == nil)
      var writer = MessageWriter(capacity: 512)
      writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
      writer.append(.xorPeerAddress, xor: SocketAddress(peer)!)
      writer.append(.dontFragment, [] as [UInt8])
      writer.append(.data, [1, 2, 3])
      _ = client.send(writer.bytes.copied())
      #expect((conversation.unfragmented.count == 1) == isHonoured, "\(address) \(transport) \(peer)")
    }
  }

  @Test("RFC 8489, 6.3.2: an indication with an attribute that is not configured is dropped")
  func unknownInIndication() {
    let client = TestClient(Conversation())
    client.allocate()
    client.permit("8.8.8.8:9")
    for type in [AttributeType.accessToken, .changeRequest, .padding, .responsePort] {
      var writer = MessageWriter(capacity: 512)
      writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
      writer.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:9")!)
      writer.append(type, [0, 0, 0, 2])
      writer.append(.data, [1, 2, 3])
      #expect(client.send(writer.bytes.copied()).drop == .unknownAttribute)
    }
  }

  @Test("At most a hundred datagrams a second are sent with DF")
  func dontFragmentRate() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.permit("8.8.8.8:9")
    var writer = MessageWriter(capacity: 512)
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
    writer.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:9")!)
    writer.append(.dontFragment, [] as [UInt8])
    writer.append(.data, [1, 2, 3])
    let bytes = writer.bytes.copied()
    for _ in 0..<300 { _ = client.send(bytes) }
    #expect((100...101).contains(conversation.unfragmented.count))
  }

  @Test("A stale nonce gives 438 even after strangers have used up the address's budget")
  func staleNonce() {
    let conversation = Conversation(limit: 2) { $0.policy.nonceLifetime = .seconds(10) }
    let client = TestClient(conversation)
    client.allocate()
    conversation.tick(seconds: 11)
    let spoofer = TestClient(conversation, "192.0.2.7:9")
    for _ in 0..<5 { _ = spoofer.ask(spoofer.request(.allocate, signs: false)) }
    #expect(spoofer.ask(spoofer.request(.allocate, signs: false)) == nil)
    #expect(client.refresh(600)?.code == 438)
  }

  @Test("RFC 8489, 6.3: an unknown method gets no answer")
  func unknownMethod() {
    let client = TestClient(Conversation())
    for bits in [0x0002, 0x0005, 0x0123] as [UInt16] {
      guard let type = MessageType(bits: bits) else { continue }
      var writer = MessageWriter(capacity: 64)
      writer.begin(type, transactionID: TransactionID(high: 1, low: 1))
      #expect(client.send(writer.bytes.copied()).drop == .unexpectedMessage)
    }
  }

  @Test("RFC 8489, 14.8: eight copies of one unknown attribute hide no other")
  func unknownAttributes() {
    let client = TestClient(Conversation())
    client.challenge()
    let answer = client.ask(
      client.request(.allocate) { writer in
        for _ in 0..<8 { writer.append(AttributeType(rawValue: 0x7000), [] as [UInt8]) }
        writer.append(AttributeType(rawValue: 0x7001), [] as [UInt8])
      })
    #expect(answer?.code == 420)
    #expect(answer?.unknown == [0x70, 0x00, 0x70, 0x01])
  }

  @Test("RFC 8489, 5: indications have 96 random bits")
  func indicationID() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let relayed = try #require(client.allocate()?.relayedAddress)
    client.permit("8.8.8.8:9")
    var highs: Set<UInt32> = []
    for _ in 0..<20 {
      _ = client.hear([1], from: "8.8.8.8:9", on: relayed)
      let bytes = conversation.relay.copiedReply()
      highs.insert(bytes[8..<12].reduce(0) { $0 << 8 | UInt32($1) })
    }
    #expect(highs.count == 20)
  }

  @Test("RFC 8489, 14.3: a name of 763 bytes is accepted, a longer one has no user")
  func longName() {
    for (count, isKnown) in [(763, true), (764, false)] {
      let name = [UInt8](repeating: UInt8(ascii: "a"), count: count)
      let key = LongTermKey.md5(
        username: name, realm: Array(Conversation.realm.utf8), password: Array("secret".utf8))
      let client = TestClient(Conversation { $0.realms[0].users[name] = CredentialKeys(md5: [key]) })
      client.username = String(decoding: name, as: UTF8.self)
      client.key = key
      client.challenge()
      #expect((client.allocate()?.code == nil) == isKnown)
    }
  }

  @Test("RFC 8656, 7.2: the answer is repeated for 40 seconds, over datagrams")
  func retransmission() throws {
    for (transport, wait, code): (TransportProtocol, UInt32, UInt16?) in [
      (.udp, 39, nil), (.udp, 41, 437), (.dtls, 39, nil), (.tcp, 0, 437),
    ] {
      let conversation = Conversation()
      let client = TestClient(conversation, transport: transport)
      client.challenge()
      let request = client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
      #expect(client.ask(request)?.code == nil)
      conversation.tick(seconds: wait)
      #expect(client.ask(request)?.code == code, "\(transport) after \(wait) s")
    }
  }

  @Test("After a change of password a restarted client gets 437 for its live allocation")
  func changedPassword() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    let key = LongTermKey.md5(
      username: Array("alice".utf8), realm: Array(Conversation.realm.utf8), password: Array("new".utf8))
    conversation.change { $0.realms[0].users[Array("alice".utf8)] = CredentialKeys(md5: [key]) }
    // The old password stays valid for the allocation that was made with it.
    #expect(client.refresh(600)?.code == nil)
    client.key = key
    #expect(client.allocate()?.code == 437)
    client.key = Conversation.otherKey
    #expect(client.allocate()?.code == 401)
  }

  @Test("A user holds at most sixteen reserved ports")
  func reservations() {
    let conversation = Conversation()
    func reserve(_ number: Int, _ username: String = "alice", _ key: Digest = Conversation.key) -> UInt16? {
      let client = TestClient(conversation, "192.0.2.7:\(6000 + number)")
      client.username = username
      client.key = key
      let code = client.allocate { $0.append(.evenPort, [0x80] as [UInt8]) }?.code
      client.refresh(0)
      return code
    }
    for number in 0..<16 { #expect(reserve(number) == nil) }
    #expect(reserve(16) == 508)
    #expect(reserve(17, "bob", Conversation.otherKey) == nil)
    conversation.wait(seconds: 31)
    #expect(reserve(18) == nil)
  }
}
