import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Reason phrases of 400")
struct BadRequestTests {
  /// A request with one error, for a server with `settings`.
  struct Row: Sendable, CustomTestStringConvertible {
    let phrase: String
    let transport: TransportProtocol
    let ask: @Sendable (Scene) -> Answer?

    init(_ fault: BadRequest, _ transport: TransportProtocol = .udp, _ ask: @escaping @Sendable (Scene) -> Answer?) {
      phrase = fault.rawValue
      self.transport = transport
      self.ask = ask
    }

    init(_ attribute: AttributeType, _ ask: @escaping @Sendable (Scene) -> Answer?) {
      phrase = BadRequest.malformed(attribute)
      transport = .udp
      self.ask = ask
    }

    var testDescription: String { phrase }
  }

  static func allocated(_ scene: Scene, _ transport: RelayTransport = .udp) -> Scene {
    scene.client.allocate(transport)
    return scene
  }

  static func movable(_ scene: Scene) -> [UInt8] {
    scene.client.allocate { $0.append(.mobilityTicket, [UInt8]()) }?.ticket ?? []
  }

  static let rows = [
    Row(.noTransport) { $0.allocate() },
    Row(.noStream) { $0.allocate((.requestedTransport, [6, 0, 0, 0])) },
    Row(.datagramsOnly, .tcp) { $0.allocate((.requestedTransport, [6, 0, 0, 0]), (.dontFragment, [])) },
    Row(.reservedPort) { $0.allocate(Scene.udp, (.reservationToken, [1, 2, 3, 4, 5, 6, 7, 8]), (.evenPort, [0])) },
    Row(.twoFamilies) {
      $0.allocate(Scene.udp, (.requestedAddressFamily, Scene.family(1)), (.additionalAddressFamily, Scene.family(2)))
    },
    Row(.pairOfTwoFamilies) {
      $0.allocate(Scene.udp, (.evenPort, [0x80]), (.additionalAddressFamily, Scene.family(2)))
    },
    Row(.additionalIPv4) { $0.allocate(Scene.udp, (.additionalAddressFamily, Scene.family(1))) },
    Row(.ticketBeforeAllocation) { $0.allocate(Scene.udp, (.mobilityTicket, [1])) },
    Row(.foreignTicket) { allocated($0).ask(.refresh) { $0.append(.mobilityTicket, [1, 2, 3]) } },
    Row(.nothingToMove) { scene in
      let ticket = movable(scene)
      return scene.ask(.refresh) { $0.append(.mobilityTicket, ticket) }
    },
    Row(.usedTicket) { scene in
      let ticket = movable(scene)
      for port in 1...2 {
        let other = TestClient(scene.conversation, "192.0.2.7:\(port)")
        other.challenge()
        _ = other.ask(other.request(.refresh) { $0.append(.mobilityTicket, ticket) })
      }
      let late = TestClient(scene.conversation, "192.0.2.7:3")
      late.challenge()
      return late.ask(late.request(.refresh) { $0.append(.mobilityTicket, ticket) })
    },
    Row(.noPeer) { allocated($0).ask(.createPermission) },
    Row(.noPeer) { allocated($0).ask(.channelBind) { $0.append(.channelNumber, UInt32(0x4000) << 16) } },
    Row(.noPeer, .tcp) { allocated($0, .tcp).ask(.connect) },
    Row(.portZero) { allocated($0).client.bind(0x4000, "8.8.8.8:0") },
    Row(.portZero, .tcp) { allocated($0, .tcp).ask(.connect) { Scene.peer("8.8.8.8:0", &$0) } },
    Row(.noChannel) { allocated($0).ask(.channelBind) { Scene.peer("8.8.8.8:1", &$0) } },
    Row(.oldChannelRange) { allocated($0).client.bind(0x8000, "8.8.8.8:1") },
    Row(.channelRange) { scene in
      var settings = scene.conversation.relay.settings
      settings.policy.allowsOldChannels = false
      scene.conversation.relay.update(settings: settings, gate: scene.conversation.relay.rules.gate)
      return allocated(scene).client.bind(0x5000, "8.8.8.8:1")
    },
    Row(.channelTaken) { scene in
      allocated(scene).client.bind(0x4000, "8.8.8.8:1")
      return scene.client.bind(0x4000, "8.8.8.8:2")
    },
    Row(.peerTaken) { scene in
      allocated(scene).client.bind(0x4000, "8.8.8.8:1")
      return scene.client.bind(0x4001, "8.8.8.8:1")
    },
    Row(.streamAllocation, .tcp) { allocated($0, .tcp).client.bind(0x4000, "8.8.8.8:1") },
    Row(.datagramAllocation, .tcp) { allocated($0).ask(.connect) { Scene.peer("8.8.8.8:1", &$0) } },
    Row(.bindOverDatagrams) { $0.ask(.connectionBind) { $0.append(.connectionID, UInt32(1)) } },
    Row(.bindOnControl, .tcp) { allocated($0, .tcp).ask(.connectionBind) { $0.append(.connectionID, UInt32(1)) } },
    Row(.noConnectionID, .tcp) { $0.ask(.connectionBind) },
    Row(.unknownConnection, .tcp) { $0.ask(.connectionBind) { $0.append(.connectionID, UInt32(1)) } },
    Row(.requestedTransport) { $0.allocate((.requestedTransport, [17])) },
    Row(.evenPort) { $0.allocate(Scene.udp, (.evenPort, [0, 0])) },
    Row(.lifetime) { allocated($0).ask(.refresh) { $0.append(.lifetime, [1]) } },
    Row(.channelNumber) { allocated($0).ask(.channelBind) { $0.append(.channelNumber, [0x40, 0]) } },
    Row(.xorPeerAddress) {
      allocated($0).ask(.createPermission) {
        Scene.peer("8.8.8.8:1", &$0)
        $0.append(.xorPeerAddress, [0, 9, 0, 0])
      }
    },
  ]

  static func phrase(_ answer: Answer?) -> String? {
    guard let answer, let parsed = Parsed(answer.bytes), let code = parsed[.errorCode], code.count >= 4 else {
      return nil
    }
    return String(decoding: code.dropFirst(4), as: UTF8.self)
  }

  @Test("A 400 to a user with valid credentials names the fault", arguments: rows)
  func phrases(row: Row) {
    let answer = row.ask(Scene(transport: row.transport) { $0.policy.allowsMobility = true })
    #expect(answer?.code == 400)
    #expect(Self.phrase(answer) == row.phrase)
    #expect(answer?.isSigned == true)
  }

  @Test("Each phrase has at most 60 bytes and a row in the table")
  func bounded() {
    for fault in BadRequest.allCases {
      #expect(fault.rawValue.utf8.count <= 60, "\(fault)")
      #expect(Self.rows.contains { $0.phrase == fault.rawValue }, "\(fault)")
    }
    for type in UInt16.min...UInt16.max {
      #expect(BadRequest.malformed(AttributeType(rawValue: type)).utf8.count <= 60)
    }
  }

  @Test("Errors without authentication have 40 bytes, and 104 with a challenge")
  func strangers() {
    // An anonymous server has no users, so no credential can be valid.
    for row in Self.rows {
      let scene = Scene(transport: row.transport) { $0.policy.isAnonymous = true }
      scene.client.key = nil
      guard let answer = row.ask(scene), answer.code == 400 else { continue }
      #expect(Self.phrase(answer) == "Bad Request", "\(row.phrase)")
      #expect(answer.bytes.count == 40)
    }
    let scene = Scene()
    #expect(scene.ask(.allocate, signs: false)?.bytes.count == 104)
    let unnamed = ModernClient(Conversation())
    #expect(
      unnamed.client.ask(unnamed.request(hasNonce: false, integrity: .sha1, key: Conversation.key))?.bytes.count == 40)
    scene.client.key = Conversation.otherKey
    #expect(scene.allocate()?.bytes.count == 104)
    #expect(scene.client.bind(0x5000, "8.8.8.8:1")?.bytes.count == 104)
  }
}

@Suite("Channels of RFC 5766")
struct OldChannelTests {
  static let numbers: [UInt16] = [0x5000, 0x5001, 0x6ABC, 0x7FFE, 0x7FFF]

  @Test(
    "Channels 0x5000 to 0x7FFF are bound and carry data both ways, over every transport",
    arguments: TransportProtocol.allCases)
  func served(transport: TransportProtocol) throws {
    for number in Self.numbers {
      let (scene, relayed) = try Scene.allocated(transport: transport)
      #expect(scene.client.bind(number, "8.8.8.8:1")?.code == nil)
      #expect(scene.client.channelData(number, [1, 2]).peer == SocketAddress("8.8.8.8:1"))
      #expect(scene.client.hear([1, 2, 3], from: "8.8.8.8:1", on: relayed).client == scene.client.path)
      #expect(scene.conversation.relay.copiedReply() == [UInt8(number >> 8), UInt8(number & 0xFF), 0, 3])
      // A second ChannelBind refreshes the channel, as for every channel.
      #expect(scene.client.bind(number, "8.8.8.8:1")?.code == nil)
    }
  }

  @Test("With rfc5766-channels: false these channels give 400, and data on them is dropped")
  func refused() throws {
    for number in Self.numbers {
      let (scene, _) = try Scene.allocated { $0.policy.allowsOldChannels = false }
      let answer = scene.client.bind(number, "8.8.8.8:1")
      #expect(answer?.code == 400)
      #expect(BadRequestTests.phrase(answer) == "Channel number outside 0x4000-0x4FFF")
      #expect(scene.client.channelData(number, [1]).drop == .noChannel)
      #expect(scene.client.bind(0x4FFF, "8.8.8.8:1")?.code == nil)
    }
  }

  @Test("Channel numbers outside both ranges give 400", arguments: [UInt16(0), 0x3FFF, 0x8000, 0xFFFF])
  func outside(number: UInt16) throws {
    let (scene, _) = try Scene.allocated()
    #expect(scene.client.bind(number, "8.8.8.8:1")?.code == 400)
    #expect(scene.client.channelData(number, [1]).drop != nil)
  }
}
