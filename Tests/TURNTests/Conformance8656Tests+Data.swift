import NetworkTypes
import STUN
import Testing

@testable import TURN

extension Conformance8656Tests {
  // MARK: - Section 11

  static let sending = [
    Requirement("11.2", "a Send indication without XOR-PEER-ADDRESS or DATA, or a malformed one, is discarded") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.indication(.send) { $0.append(.data, [1]) }.drop == .malformed)
      #expect(scene.indication(.send) { Scene.peer("8.8.8.8:1", &$0) }.drop == .malformed)
      #expect(
        scene.indication(.send) {
          $0.append(.xorPeerAddress, [0, 1])
          $0.append(.data, [1])
        }.drop == .malformed)
    },
    Requirement("11.2", "a Send indication without allocation or permission, or for a forbidden peer, is discarded") {
      #expect(Scene().client.sendIndication("8.8.8.8:1", [1]).drop == .noAllocation)
      let (scene, _) = try Scene.allocated()
      #expect(scene.client.sendIndication("8.8.4.4:1", [1]).drop == .noPermission)
      #expect(scene.client.sendIndication("[2001:4860::1]:1", [1]).drop == .familyMismatch)
    },
    Requirement("11.2", "the value of DATA, which may be empty, is sent from the relayed address") {
      let (scene, relayed) = try Scene.allocated()
      for count in [0, 1, 2, 3, 4, 1000] {
        guard
          case .toPeer(let port, let peer, _, let sent) = scene.client.sendIndication(
            "8.8.8.8:7", [UInt8](repeating: 9, count: count))
        else {
          Issue.record("\(count)")
          continue
        }
        #expect(sent == count && peer == SocketAddress("8.8.8.8:7"))
        #expect(scene.conversation.openPorts[port]?.port == relayed.port)
      }
    },
    Requirement("11.3", "a peer's datagram without a permission is discarded") {
      let (scene, relayed) = try Scene.allocated()
      #expect(scene.client.hear([1], from: "8.8.4.4:1", on: relayed).drop == .noPermission)
    },
    Requirement(
      "11.3", "a permitted peer's datagram becomes a Data indication: XOR-PEER-ADDRESS and DATA, no integrity"
    ) {
      let (scene, relayed) = try Scene.allocated()
      for count in [0, 1, 3, 4] {
        guard
          case .toClient(_, _, let length, let padding) = scene.client.hear(
            [UInt8](repeating: 7, count: count), from: "8.8.8.8:9", on: relayed)
        else {
          Issue.record("\(count)")
          continue
        }
        let bytes =
          scene.conversation.relay.copiedReply() + [UInt8](repeating: 7, count: length)
          + [UInt8](repeating: 0, count: padding)
        let parsed = try #require(Parsed(bytes))
        #expect(parsed.type == MessageType(.data, .indication))
        #expect(parsed.order == [0x0012, 0x0013])
        #expect(parsed[.data] == [UInt8](repeating: 7, count: count))
      }
    },
    Requirement("11.5", "an ICMP error reaches the client with type, code and data, if it has a permission") {
      let (scene, _) = try Scene.allocated()
      let port = try #require(scene.conversation.openPorts.keys.first)
      scene.conversation.relay.receiveICMP(
        type: 3, code: 4, mtu: 1400, about: SocketAddress("8.8.8.8:7")!, on: port, now: scene.conversation.now)
      scene.conversation.relay.receiveICMP(
        type: 3, code: 1, mtu: 0, about: SocketAddress("8.8.4.4:7")!, on: port, now: scene.conversation.now)
      scene.conversation.runCommands()
      let replies = scene.conversation.lateReplies.dropFirst()
      #expect(replies.count == 1)
      let parsed = try #require(Parsed(replies.first?.1 ?? []))
      #expect(parsed.order == [0x0012, 0x8004])
      // Type in seven bits, code in nine (section 18.13).
      #expect(parsed[.icmp] == [0, 0, 3 << 1, 4, 0, 0, 0x05, 0x78])
    },
  ]

  // MARK: - Section 12

  static let channels = [
    Requirement("12.2", "ChannelBind gives 437 without an allocation, and 400 without number or peer, or if malformed")
    {
      #expect(Scene().client.bind(0x4000, "8.8.8.8:1")?.code == 437)
      let (scene, _) = try Scene.allocated()
      #expect(scene.ask(.channelBind)?.code == 400)
      #expect(scene.ask(.channelBind) { $0.append(.channelNumber, UInt32(0x4000) << 16) }?.code == 400)
      #expect(scene.ask(.channelBind) { Scene.peer("8.8.8.8:1", &$0) }?.code == 400)
      #expect(
        scene.ask(.channelBind) {
          $0.append(.channelNumber, [0x40, 0])
          Scene.peer("8.8.8.8:1", &$0)
        }?.code == 400)
      #expect(scene.conversation.relay.channels.count == 0)
    },
    Requirement("12.2", "numbers are 0x4000 to 0x4FFF; the reserved bits of the attribute are ignored") {
      for (number, isGood) in [
        (UInt16(0), false), (0x3FFF, false), (0x4000, true), (0x4FFF, true), (0x5000, false), (0x7FFF, false),
        (0xFFFF, false),
      ] {
        let (scene, _) = try Scene.allocated { $0.policy.allowsOldChannels = false }
        #expect(scene.client.bind(number, "8.8.8.8:1")?.code == (isGood ? nil : 400))
      }
      let (scene, _) = try Scene.allocated()
      #expect(
        scene.ask(.channelBind) {
          $0.append(.channelNumber, [0x40, 1, 0xFF, 0xFF])
          Scene.peer("8.8.8.8:1", &$0)
        }?.code == nil)
    },
    Requirement("12.2", "a number has one peer and a peer one number, else 400; the same binding again refreshes") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.client.bind(0x4000, "8.8.8.8:1")?.code == nil)
      #expect(scene.client.bind(0x4000, "8.8.8.8:2")?.code == 400)
      #expect(scene.client.bind(0x4001, "8.8.8.8:1")?.code == 400)
      #expect(scene.client.bind(0x4000, "8.8.8.8:1")?.code == nil)
      #expect(scene.client.bind(0x4001, "8.8.8.8:2")?.code == nil)
    },
    Requirement("12.2", "another family gives 443, a forbidden peer 403, too many channels 508") {
      let (scene, _) = try Scene.allocated { $0.realms[0].limits.channelsPerAllocation = 1 }
      #expect(scene.client.bind(0x4000, "[2001:4860::1]:1")?.code == 443)
      #expect(scene.client.bind(0x4000, "10.0.0.1:1")?.code == 403)
      #expect(scene.client.bind(0x4000, "8.8.8.8:1")?.code == nil)
      #expect(scene.client.bind(0x4001, "8.8.8.8:2")?.code == 508)
    },
    Requirement("12.2", "a channel lasts 600 seconds and installs a permission for 300") {
      let (scene, relayed) = try Scene.allocated()
      scene.client.bind(0x4000, "8.8.4.4:1")
      #expect(scene.client.hear([1], from: "8.8.4.4:99", on: relayed).client != nil)
      scene.ask(.refresh) { $0.append(.lifetime, UInt32(3600)) }.map { #expect($0.code == nil) }
      scene.conversation.tick(seconds: 599)
      #expect(scene.client.channelData(0x4000, [1]).peer != nil)
      #expect(scene.client.hear([1], from: "8.8.4.4:1", on: relayed).drop == .noPermission)
      scene.conversation.tick(seconds: 1)
      #expect(scene.client.channelData(0x4000, [1]).drop == .noChannel)
    },
    Requirement("12.4", "ChannelData that is shorter than its length, or on an unbound channel, is discarded") {
      let (scene, _) = try Scene.allocated()
      scene.client.bind(0x4000, "8.8.8.8:1")
      #expect(scene.client.send([0x40, 0, 0, 5, 1, 2, 3, 4]).drop == .malformed)
      #expect(scene.client.send([0x40, 0, 0]).drop == .malformed)
      #expect(scene.client.send([0x40, 1, 0, 0]).drop == .noChannel)
      for first in [UInt8(0x50), 0x7F] { #expect(scene.client.send([first, 0, 0, 0]).drop == .noChannel) }
      for first in [UInt8(0x80), 0xFF] { #expect(scene.client.send([first, 0, 0, 0]).drop == .notSTUN) }
    },
    Requirement("12.5", "over UDP padding is not required, and not relayed") {
      let (scene, _) = try Scene.allocated()
      scene.client.bind(0x4000, "8.8.8.8:1")
      for bytes in [[UInt8(0x40), 0, 0, 1, 9], [0x40, 0, 0, 1, 9, 0, 0, 0]] {
        guard case .toPeer(_, _, let offset, let count) = scene.client.send(bytes) else {
          Issue.record("not sent")
          continue
        }
        #expect(offset == 4 && count == 1)
      }
    },
    Requirement("12.5", "data of a channel's peer comes on the channel, padded over streams only") {
      for transport in TransportProtocol.allCases {
        let (scene, relayed) = try Scene.allocated(transport: transport)
        scene.client.bind(0x4000, "8.8.8.8:1")
        guard case .toClient(_, _, _, let padding) = scene.client.hear([1, 2, 3], from: "8.8.8.8:1", on: relayed) else {
          Issue.record("\(transport)")
          continue
        }
        #expect(scene.conversation.relay.copiedReply() == [0x40, 0, 0, 3])
        #expect(padding == (transport.isStream ? 1 : 0))
      }
    },
    Requirement("12.6", "ChannelData refreshes neither the channel nor the permission") {
      let (scene, relayed) = try Scene.allocated()
      scene.client.bind(0x4000, "8.8.4.4:1")
      scene.conversation.tick(seconds: 299)
      _ = scene.client.channelData(0x4000, [1])
      scene.conversation.tick(seconds: 1)
      #expect(scene.client.hear([1], from: "8.8.4.4:1", on: relayed).drop == .noPermission)
    },
  ]

  // MARK: - Sections 13 to 16

  static let headers = [
    Requirement("13", "DONT-FRAGMENT is ignored between UDP and UDP if either side is IPv6, and obeyed from streams") {
      let rows: [(client: String, relay: UInt8, peer: String, TransportProtocol, heeded: Bool)] = [
        ("192.0.2.7:5000", 1, "8.8.8.8:7", .udp, true), ("192.0.2.7:5000", 2, "[2001:4860::1]:7", .udp, false),
        ("[2001:db8:9::7]:5000", 1, "8.8.8.8:7", .udp, false),
        ("[2001:db8:9::7]:5000", 2, "[2001:4860::1]:7", .udp, false),
        ("192.0.2.7:5000", 2, "[2001:4860::1]:7", .tcp, true),
        ("[2001:db8:9::7]:5000", 2, "[2001:4860::1]:7", .tls, true),
      ]
      for row in rows {
        let conversation = Conversation()
        let client = TestClient(conversation, row.client, transport: row.3)
        client.allocate(.udp) { $0.append(.requestedAddressFamily, Scene.family(row.relay)) }
        client.permit(row.peer)
        var writer = MessageWriter(capacity: 4096)
        writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
        writer.append(.xorPeerAddress, xor: SocketAddress(row.peer)!)
        writer.append(.dontFragment, [UInt8]())
        writer.append(.data, [1, 2, 3])
        let disposition = client.send(writer.bytes.copied())
        #expect(conversation.unfragmented.count == (row.heeded ? 1 : 0), "\(row)")
        #expect((disposition.peer != nil) == !row.heeded)
      }
    }
  ]
}
