import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 5780: NAT behaviour discovery")
struct DiscoveryTests {
  static let a1p1 = SocketAddress("203.0.113.1:3478")!
  static let a1p2 = SocketAddress("203.0.113.1:3479")!
  static let a2p1 = SocketAddress("203.0.113.2:3478")!
  static let a2p2 = SocketAddress("203.0.113.2:3479")!

  func conversation(limit: UInt32 = 0, advertise: String? = nil, _ body: (inout RelaySettings) -> Void = { _ in })
    -> Conversation
  {
    Conversation(advertise: advertise, limit: limit) {
      $0.policy.natDiscovery = ConfiguredDiscovery(primary: Self.a1p1, alternate: Self.a2p2)
      body(&$0)
    }
  }

  /// The answer to a Binding request, with its source and target.
  func bind(_ client: TestClient, _ body: (inout MessageWriter) -> Void = { _ in }) -> (
    local: SocketAddress, target: SocketAddress, bytes: [UInt8]
  )? {
    let before = client.conversation.repliesFrom.count
    let disposition = client.send(client.request(.binding, signs: false, body))
    if case .reply = disposition {
      return (client.conversation.localAddress, client.path.address, client.conversation.relay.copiedReply())
    }
    return client.conversation.repliesFrom.dropFirst(before).first
  }

  func plain(_ bytes: [UInt8], _ attribute: AttributeType) -> SocketAddress? {
    guard let message = try? MessageView(bytes.span.rawBytes) else { return nil }
    return try? message.plainAddress(attribute)
  }

  struct Row: Sendable {
    var local: SocketAddress
    var flags: UInt32
    var source: SocketAddress
    var other: SocketAddress
  }

  /// Table 1 of section 6.1 for each of the four sockets.
  static var table: [Row] {
    let all = [a1p1, a1p2, a2p1, a2p2]
    return all.flatMap { local in
      let other = SocketAddress(
        local.address == a1p1.address ? a2p2.address : a1p1.address, port: local.port == 3478 ? 3479 : 3478)
      return [
        Row(local: local, flags: 0, source: local, other: other),
        Row(local: local, flags: 4, source: SocketAddress(other.address, port: local.port), other: other),
        Row(local: local, flags: 2, source: SocketAddress(local.address, port: other.port), other: other),
        Row(local: local, flags: 6, source: other, other: other),
      ]
    }
  }

  @Test(
    "6.1, table 1: each flag combination has its source address, RESPONSE-ORIGIN and OTHER-ADDRESS", arguments: table)
  func sources(row: Row) throws {
    let conversation = conversation()
    conversation.localAddress = row.local
    let client = TestClient(conversation)
    let answer = try #require(bind(client) { $0.append(.changeRequest, row.flags) })
    #expect(answer.local == row.source)
    #expect(answer.target == client.path.address)
    #expect(plain(answer.bytes, .responseOrigin) == row.source)
    #expect(plain(answer.bytes, .otherAddress) == row.other)
    #expect(plain(answer.bytes, .mappedAddress) == client.path.address)
    #expect(client.read(answer.bytes)?.mappedAddress == client.path.address)
    #expect(client.read(answer.bytes)?.code == nil)
  }

  @Test("6.1: a plain request gets both mapped addresses, RESPONSE-ORIGIN and OTHER-ADDRESS")
  func ordinary() throws {
    let client = TestClient(conversation())
    let answer = try #require(bind(client))
    #expect(answer.local == Self.a1p1)
    #expect(plain(answer.bytes, .responseOrigin) == Self.a1p1)
    #expect(plain(answer.bytes, .otherAddress) == Self.a2p2)
    #expect(plain(answer.bytes, .mappedAddress) == client.path.address)
  }

  @Test(
    "6: without nat-discovery its attributes give 420, and no answer has RESPONSE-ORIGIN or OTHER-ADDRESS",
    arguments: [(AttributeType.changeRequest, UInt8(0x03)), (.padding, 0x26), (.responsePort, 0x27)])
  func notConfigured(attribute: AttributeType, number: UInt8) throws {
    let client = TestClient(Conversation())
    let answer = try #require(bind(client) { $0.append(attribute, [0, 0, 0, 4]) })
    #expect(client.read(answer.bytes)?.code == 420)
    #expect(client.read(answer.bytes)?.unknown == [0, number])
    let ordinary = try #require(bind(client))
    #expect(plain(ordinary.bytes, .responseOrigin) == nil && plain(ordinary.bytes, .otherAddress) == nil)
  }

  @Test("6: at another address of the server CHANGE-REQUEST gives 420, without OTHER-ADDRESS")
  func elsewhere() throws {
    let conversation = conversation()
    conversation.localAddress = SocketAddress("203.0.113.9:3478")!
    let client = TestClient(conversation)
    for flags in [UInt32(2), 4, 6] {
      let answer = try #require(bind(client) { $0.append(.changeRequest, flags) })
      #expect(client.read(answer.bytes)?.code == 420)
      #expect(client.read(answer.bytes)?.unknown == [0, 3])
      #expect(answer.local == conversation.localAddress)
    }
    let answer = try #require(bind(client))
    #expect(plain(answer.bytes, .otherAddress) == nil)
    #expect(plain(answer.bytes, .responseOrigin) == conversation.localAddress)
  }

  /// A Binding request with CHANGE-REQUEST 0, byte for byte as stuntman's client sends it.
  static let stuntman: [UInt8] = [
    0x00, 0x01, 0x00, 0x08, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x00, 0x03, 0x00, 0x04, 0, 0,
    0, 0,
  ]

  /// The answer to bytes, from any of the server's addresses.
  func answer(_ client: TestClient, _ bytes: [UInt8]) -> Answer? {
    let before = client.conversation.repliesFrom.count
    if case .reply = client.send(bytes) { return client.read(client.conversation.relay.copiedReply()) }
    return client.conversation.repliesFrom.dropFirst(before).first.flatMap { client.read($0.bytes) }
  }

  @Test(
    "CHANGE-REQUEST without flags and empty PADDING have no effect, over every transport",
    arguments: TransportProtocol.allCases)
  func asksForNothing(transport: TransportProtocol) {
    let elsewhere = conversation()
    elsewhere.localAddress = SocketAddress("203.0.113.9:3478")!
    for conversation in [Conversation(), conversation(), elsewhere] {
      let client = TestClient(conversation, transport: transport)
      #expect(answer(client, Self.stuntman)?.mappedAddress == client.path.address)
      // Undefined bits are ignored.
      #expect(answer(client, Self.stuntman.dropLast() + [0xF9])?.mappedAddress == client.path.address)
      let empty = client.request(.binding, signs: false) { $0.append(.padding, [UInt8]()) }
      #expect(answer(client, empty)?.mappedAddress == client.path.address)
    }
  }

  @Test("A flag that cannot be served gives 420, and so does a wrong length", arguments: TransportProtocol.allCases)
  func asksForSomething(transport: TransportProtocol) {
    let client = TestClient(Conversation(), transport: transport)
    for flags in [UInt8(2), 4, 6] {
      let refused = answer(client, Self.stuntman.dropLast() + [flags])
      #expect(refused?.code == 420 && refused?.unknown == [0, 3])
    }
    for count in [0, 3, 5, 8] {
      let odd = client.request(.binding, signs: false) {
        $0.append(.changeRequest, [UInt8](repeating: 0, count: count))
      }
      #expect(answer(client, odd)?.code == 420)
    }
    let overStream = TestClient(conversation(), transport: .tcp)
    #expect(answer(overStream, Self.stuntman.dropLast() + [6])?.unknown == [0, 3])
  }

  @Test("In other methods and indications CHANGE-REQUEST has no effect without flags and is refused with flags")
  func otherMethods() throws {
    let (scene, _) = try Scene.allocated()
    #expect(scene.ask(.refresh) { $0.append(.changeRequest, UInt32(0)) }?.code == nil)
    #expect(scene.ask(.refresh) { $0.append(.changeRequest, UInt32(6)) }?.code == 420)
    func send(_ flags: UInt32) -> Disposition {
      scene.indication(.send) {
        $0.append(.changeRequest, flags)
        Scene.peer("8.8.8.8:1", &$0)
        $0.append(.data, [1])
      }
    }
    #expect(send(0).peer != nil)
    #expect(send(4).drop == .unknownAttribute)
  }

  @Test("7.5: RESPONSE-PORT chooses the port and never the address; 0 gives 400")
  func responsePort() throws {
    let client = TestClient(conversation())
    let answer = try #require(bind(client) { $0.append(.responsePort, UInt32(7777) << 16) })
    #expect(answer.target == SocketAddress(client.path.address.address, port: 7777))
    let both = try #require(
      bind(client) {
        $0.append(.responsePort, UInt32(7777) << 16)
        $0.append(.changeRequest, UInt32(6))
      })
    #expect(both.target.port == 7777 && both.local == Self.a2p2)
    let zero = try #require(bind(client) { $0.append(.responsePort, UInt32(0)) })
    #expect(client.read(zero.bytes)?.code == 400)
  }

  @Test(
    "7.6: an answer has as much PADDING as its request, up to an MTU; PADDING with RESPONSE-PORT gives 400",
    arguments: [0, 1, 7, 1000, 1500, 3000])
  func padding(count: Int) throws {
    let client = TestClient(conversation())
    let answer = try #require(bind(client) { $0.append(.padding, [UInt8](repeating: 1, count: count)) })
    let message = try MessageView(answer.bytes.span.rawBytes)
    let padding = message.value(of: .padding)?.copied()
    #expect(padding == [UInt8](repeating: 0, count: min((count + 3) & ~3, 1500)))
    let both = try #require(
      bind(client) {
        $0.append(.padding, [UInt8](repeating: 1, count: count))
        $0.append(.responsePort, UInt32(7777) << 16)
      })
    #expect(client.read(both.bytes)?.code == 400)
    #expect(both.target == client.path.address)
  }

  @Test("A padded answer counts as several in the stranger's budget")
  func amplification() {
    let conversation = conversation(limit: 100)
    let client = TestClient(conversation)
    var answers = 0
    for _ in 0..<100 where bind(client, { $0.append(.padding, [UInt8](repeating: 1, count: 1500)) }) != nil {
      answers += 1
    }
    #expect(answers == 6)
    let other = TestClient(conversation, "192.0.2.99:1")
    var ordinary = 0
    for _ in 0..<150 where bind(other) != nil { ordinary += 1 }
    #expect(ordinary == 100)
  }

  @Test("Attributes of a wrong length give 400", arguments: [AttributeType.changeRequest, .responsePort])
  func malformed(attribute: AttributeType) throws {
    let client = TestClient(conversation())
    for count in [0, 1, 3, 5, 8] {
      let answer = try #require(bind(client) { $0.append(attribute, [UInt8](repeating: 0, count: count)) })
      #expect(client.read(answer.bytes)?.code == 400)
    }
  }

  @Test("Over TCP a change of address gives 420, and a plain Binding works")
  func streams() throws {
    let client = TestClient(conversation(), transport: .tcp)
    let answer = try #require(bind(client) { $0.append(.changeRequest, UInt32(6)) })
    #expect(client.read(answer.bytes)?.code == 420)
    #expect(client.read(answer.bytes)?.unknown == [0, 3])
    #expect(try #require(bind(client).flatMap { client.read($0.bytes) }).mappedAddress == client.path.address)
  }

  @Test("Behind a 1:1 NAT answers have the advertised addresses")
  func advertised() throws {
    let client = TestClient(conversation(advertise: "198.51.100.7"))
    let answer = try #require(bind(client))
    #expect(answer.local == Self.a1p1)
    #expect(plain(answer.bytes, .responseOrigin) == SocketAddress("198.51.100.7:3478"))
  }

  @Test("A request with FINGERPRINT gets an answer with FINGERPRINT")
  func fingerprint() throws {
    let client = TestClient(conversation())
    let answer = try #require(bind(client) { $0.appendFingerprint() })
    let message = try MessageView(answer.bytes.span.rawBytes)
    let isRight = Fingerprint.verify(message)
    #expect(isRight == true)
  }

  @Test("RFC 3489: SOURCE-ADDRESS and CHANGED-ADDRESS are sent, and CHANGE-REQUEST is served")
  func classic() throws {
    let conversation = conversation { $0.policy.answersClassicSTUN = true }
    let client = TestClient(conversation)
    // Type, length, 16 bytes of transaction, CHANGE-REQUEST with both flags.
    let request: [UInt8] = [0, 1, 0, 8] + Array(1...16) + [0, 3, 0, 4, 0, 0, 0, 6]
    _ = client.send(request)
    let answer = try #require(conversation.repliesFrom.first)
    #expect(answer.local == Self.a2p2)
    #expect(Array(answer.bytes[..<2]) == [1, 1] && Array(answer.bytes[4..<20]) == Array(1...16))
    func address(_ type: UInt8) -> [UInt8]? {
      var offset = 20
      while offset < answer.bytes.count {
        if answer.bytes[offset + 1] == type { return Array(answer.bytes[(offset + 4)..<(offset + 12)]) }
        offset += 12
      }
      return nil
    }
    #expect(address(1) == [0, 1, 0x13, 0x88, 192, 0, 2, 7])
    #expect(address(4) == [0, 1, 0x0D, 0x97, 203, 0, 113, 2])
    #expect(address(5) == [0, 1, 0x0D, 0x97, 203, 0, 113, 2])
  }
}
