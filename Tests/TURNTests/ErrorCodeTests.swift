import NetworkTypes
import STUN
import TestSupport
import Testing

@testable import TURN

/// Every error code that the server can send, each caused by bytes that a client can send.
@Suite("Error codes")
struct ErrorCodeTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let code: UInt16
    let reason: String
    let how: String
    let answer: @Sendable () throws -> Answer?

    init(_ code: UInt16, _ reason: String, _ how: String, _ answer: @escaping @Sendable () throws -> Answer?) {
      self.code = code
      self.reason = reason
      self.how = how
      self.answer = answer
    }

    var testDescription: String { "\(code) \(how)" }
  }

  @Test("Each request gets its error code and reason phrase", arguments: rows)
  func everyCode(row: Row) throws {
    let answer = try #require(try row.answer())
    #expect(answer.code == row.code)
    #expect(answer.type.messageClass == .error)
    let parsed = try #require(Parsed(answer.bytes))
    #expect(parsed[.errorCode].map { String(decoding: $0.dropFirst(4), as: UTF8.self) } == row.reason)
    #expect(parsed.paddingIsZero)
    // Answers to an authenticated user are signed, others are not.
    let isToStranger = [401, 438, 500].contains(row.code) || row.how.hasPrefix("stranger")
    #expect(answer.isSigned == !isToStranger)
  }

  @Test("The table has every error code")
  func complete() {
    #expect(
      Set(Self.rows.map(\.code)) == [
        300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508,
      ])
  }

  static let rows = [
    Row(300, "Try Alternate", "redirect") {
      Scene { $0.policy.redirect = Redirect(AlternateServer(IPAddress("198.51.100.9")!, port: nil)) }.allocate(
        Scene.udp)
    },
    Row(400, "REQUESTED-TRANSPORT is missing", "an Allocate without attributes") { Scene().allocate() },
    Row(400, "Bad Request", "stranger: no NONCE beside the integrity") {
      let client = ModernClient(Conversation())
      return client.client.ask(client.request(hasNonce: false, integrity: .sha1, key: Conversation.key))
    },
    Row(401, "Unauthorized", "no credentials") { Scene().ask(.allocate, signs: false) },
    Row(401, "Unauthorized", "wrong password") {
      let scene = Scene()
      scene.client.key = Conversation.otherKey
      return scene.allocate(Scene.udp)
    },
    Row(403, "Forbidden", "private peer") { try Scene.allocated().scene.client.permit("192.168.1.1:1") },
    Row(405, "Mobility Forbidden", "MOBILITY-TICKET with mobility off") {
      Scene().allocate(Scene.udp, (.mobilityTicket, []))
    },
    Row(420, "Unknown Attribute", "comprehension-required 0x7ABC") {
      Scene().allocate(Scene.udp, (AttributeType(rawValue: 0x7ABC), [1]))
    },
    Row(420, "Unknown Attribute", "stranger: CHANGE-REQUEST without nat-discovery") {
      Scene().ask(.binding, signs: false) { $0.append(.changeRequest, UInt32(6)) }
    },
    Row(437, "Allocation Mismatch", "no allocation") { Scene().ask(.refresh) },
    Row(438, "Stale Nonce", "a nonce of ten minutes ago") {
      let scene = Scene()
      scene.conversation.wait(seconds: 601)
      return scene.allocate(Scene.udp)
    },
    Row(440, "Address Family not Supported", "IPv6 from a server without it") {
      Scene(hasIPv6: false).allocate(Scene.udp, (.requestedAddressFamily, Scene.family(2)))
    },
    Row(441, "Wrong Credentials", "another user's allocation") {
      let (scene, _) = try Scene.allocated()
      scene.client.username = "bob"
      scene.client.key = Conversation.otherKey
      return scene.ask(.refresh)
    },
    Row(442, "Unsupported Transport Protocol", "SCTP") { Scene().allocate((.requestedTransport, [132, 0, 0, 0])) },
    Row(443, "Peer Address Family Mismatch", "IPv6 peer of an IPv4 allocation") {
      try Scene.allocated().scene.client.permit("[2001:4860::1]:1")
    },
    Row(446, "Connection Already Exists", "the same peer twice") {
      let scene = Scene(transport: .tcp)
      scene.client.allocate(.tcp)
      _ = scene.ask(.connect) { Scene.peer("8.8.8.8:80", &$0) }
      return scene.ask(.connect) { Scene.peer("8.8.8.8:80", &$0) }
    },
    Row(447, "Connection Timeout or Failure", "a peer that refuses") {
      let scene = Scene(transport: .tcp)
      scene.client.allocate(.tcp)
      _ = scene.ask(.connect) { Scene.peer("8.8.8.8:80", &$0) }
      let conversation = scene.conversation
      conversation.relay.peerConnectionFailed(conversation.connects[0].id, .refused, now: conversation.now)
      conversation.wait(seconds: 1)
      return scene.client.read(conversation.lateReplies.last?.1 ?? [])
    },
    Row(486, "Allocation Quota Reached", "one allocation beyond the quota") {
      let scene = Scene()
      scene.conversation.quota = 0
      return scene.allocate(Scene.udp)
    },
    Row(500, "Server Error", "the store gives no answer") {
      let scene = Scene {
        $0.realms[0].hasStore = true
        $0.realms[0].users = [:]
      }
      _ = scene.allocate(Scene.udp)
      let conversation = scene.conversation
      conversation.relay.keysUnavailable(try #require(conversation.lookUps.first).ticket, now: conversation.now)
      conversation.runCommands()
      return scene.client.read(conversation.lateReplies.last?.1 ?? [])
    },
    Row(508, "Insufficient Capacity", "every port is taken") {
      let scene = Scene()
      scene.conversation.busyPorts = 1000
      return scene.allocate(Scene.udp)
    },
    Row(508, "Insufficient Capacity", "an unknown reservation token") {
      Scene().allocate(Scene.udp, (.reservationToken, [1, 2, 3, 4, 5, 6, 7, 8]))
    },
  ]
}

@Suite("Attributes of a wrong length")
struct AttributeFormTests {
  /// Every comprehension-required attribute with a fixed length or form, and its valid lengths.
  static let forms: [(type: AttributeType, good: Set<Int>)] = [
    (.channelNumber, [4]), (.lifetime, [4]), (.requestedAddressFamily, [4]), (.requestedTransport, [4]),
    (.evenPort, [1]), (.dontFragment, [0]), (.reservationToken, [8]), (.connectionID, [4]), (.xorPeerAddress, []),
    (.mappedAddress, []), (.xorMappedAddress, []), (.xorRelayedAddress, []),
    // A comprehension-optional attribute whose form is checked too (RFC 8656 section 7.2, RFC 8016 section 3.1.2).
    (.additionalAddressFamily, [4]),
  ]

  @Test(
    "An attribute of a wrong length gives 400 in every request that allows it, and changes nothing", .tags(.slow),
    arguments: forms.map(\.type))
  func wrongLength(type: AttributeType) throws {
    let good = Self.forms.first { $0.type == type }?.good ?? []
    for count in 0...21 where !good.contains(count) {
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect] {
        let scene = Scene(transport: .tcp)
        if method != .allocate { scene.client.allocate(method == .connect ? .tcp : .udp) }
        let before = scene.conversation.openPorts.count
        let answer = scene.ask(method) {
          // It comes first, because only the first attribute of a type counts.
          $0.append(type, [UInt8](repeating: 0, count: count))
          switch method {
          case .allocate: $0.append(.requestedTransport, UInt32(17) << 24)
          case .channelBind:
            $0.append(.channelNumber, UInt32(0x4000) << 16)
            Scene.peer("8.8.8.8:1", &$0)
          case .refresh: $0.append(.lifetime, UInt32(0))
          default: Scene.peer("8.8.8.8:1", &$0)
          }
        }
        #expect(answer?.code == 400, "\(type) \(count) \(method)")
        #expect(scene.conversation.openPorts.count == before)
        #expect(scene.conversation.relay.permissions.count == 0 && scene.conversation.relay.channels.count == 0)
        #expect(scene.conversation.connects.isEmpty)
        guard answer?.code == 400 else { return }
      }
    }
  }

  @Test(
    "Comprehension-optional attributes of any form are ignored",
    arguments: [
      AttributeType.software, .alternateServer, .alternateDomain, .icmp, .addressErrorCode, .responseOrigin,
      .otherAddress, .thirdPartyAuthorization,
    ])
  func optional(type: AttributeType) {
    for count in [0, 1, 3, 4, 7, 200] {
      let scene = Scene()
      #expect(scene.allocate((type, [UInt8](repeating: 0xFF, count: count)), Scene.udp)?.code == nil)
    }
  }

  @Test("An invalid MOBILITY-TICKET gives 400, although the attribute is comprehension-optional")
  func tickets() {
    for count in [1, 16, 31, 33, 200] {
      let scene = Scene { $0.policy.allowsMobility = true }
      #expect(scene.allocate(Scene.udp, (.mobilityTicket, [UInt8](repeating: 1, count: count)))?.code == 400)
      #expect(scene.ask(.refresh) { $0.append(.mobilityTicket, [UInt8](repeating: 1, count: count)) }?.code == 400)
    }
  }
}
