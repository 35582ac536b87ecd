import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// RFC 8489, section by section, as far as a server can break it. (Attributes' own coding is in STUNTests.)
@Suite("Conformance: RFC 8489")
struct Conformance8489Tests {
  @Test(arguments: messages + authentication + attributes)
  func server(requirement: Requirement) throws { try requirement.check() }

  static let binding = [UInt8]([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]) + [UInt8](1...12)

  static func changed(_ offset: Int, _ value: UInt8) -> [UInt8] {
    var bytes = binding
    bytes[offset] = value
    return bytes
  }

  // MARK: - Sections 5 to 7

  static let messages = [
    Requirement("5", "the two top bits of every message are zero") {
      for bits in [UInt8(0x80), 0xC0] {
        #expect(Scene().client.send(changed(0, bits)).drop != nil)
      }
    },
    Requirement("RFC 7983, 7", "over UDP the first byte decides: 0 to 3 is STUN, 64 to 79 ChannelData, the rest nobody's") {
      for first in UInt8.min...UInt8.max {
        let drop = Scene().client.send([first] + [UInt8](repeating: 0, count: 40)).drop
        switch first {
        case 0...3: #expect(drop == .malformed)
        case 64...79: #expect(drop == .noAllocation)
        default: #expect(drop == .notSTUN)
        }
      }
    },
    Requirement("5", "the magic cookie is 0x2112A442") {
      for offset in 4..<8 { #expect(Scene().client.send(changed(offset, 0)).drop == .malformed) }
    },
    Requirement("5", "the length is a multiple of four, counts no header, and is what arrived") {
      for length in [UInt8(1), 2, 3, 4, 8] { #expect(Scene().client.send(changed(3, length)).drop == .malformed) }
      #expect(Scene().client.send(Array(binding.dropLast())).drop == .malformed)
      #expect(Scene().client.send(binding + [0, 0, 0, 0]).drop == .malformed)
    },
    Requirement("6.3", "an attribute that reaches beyond the message is an error of the whole message") {
      let bytes = changed(3, 8) + [0x80, 0x22, 0x00, 0x05, 1, 2, 3, 4]
      #expect(Scene().client.send(bytes).drop == .malformed)
    },
    Requirement("6.3", "methods that are not supported are discarded in silence") {
      for method in [UInt16(0x002), 0x005, 0x00D, 0x080, 0xFFF] {
        let scene = Scene()
        #expect(scene.ask(Method(rawValue: method)) == nil)
        #expect(scene.ask(Method(rawValue: method), signs: false) == nil)
      }
    },
    Requirement("6.3", "a class that a method does not have is discarded in silence") {
      let scene = Scene()
      for method in [STUN.Method.send, .data, .connectionAttempt] { #expect(scene.ask(method) == nil) }
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind, .data] {
        #expect(scene.indication(method) { _ in }.drop == .unexpectedMessage)
      }
    },
    Requirement("6.3", "responses to nothing that was asked are discarded") {
      for bits in [[UInt8(0x01), 0x01], [0x01, 0x11], [0x01, 0x03], [0x01, 0x13]] {
        let bytes = bits + binding[2...]
        #expect(Scene().client.send(bytes).drop == .unexpectedMessage)
      }
    },
    Requirement("6.3", "unknown comprehension-optional attributes are ignored") {
      let scene = Scene()
      #expect(scene.allocate(Scene.udp, (AttributeType(rawValue: 0x9999), [1, 2, 3]))?.code == nil)
      #expect(scene.ask(.binding, signs: false) { $0.append(AttributeType(rawValue: 0xFFFF), [1]) }?.mappedAddress != nil)
    },
    Requirement("6.3", "known attributes that are not expected are ignored") {
      let scene = Scene()
      let answer = scene.ask(.binding, signs: false) {
        $0.append(.lifetime, UInt32(5))
        $0.append(.xorMappedAddress, xor: SocketAddress("8.8.8.8:1")!)
        $0.append(.data, [1, 2])
      }
      #expect(answer?.mappedAddress == scene.client.path.address)
      #expect(scene.allocate(Scene.udp, (.channelNumber, [0x40, 0, 0, 0]), (.connectionID, [1, 2, 3, 4]))?.code == nil)
    },
    Requirement("6.3.1", "unknown comprehension-required attributes are 420, all of them named") {
      let scene = Scene()
      let answer = scene.ask(.binding, signs: false) {
        $0.append(AttributeType(rawValue: 0x7777), [1])
        $0.append(AttributeType(rawValue: 0x0002), [1])
      }
      #expect(answer?.code == 420)
      #expect(answer?.unknown == [0x77, 0x77, 0x00, 0x02])
      let signed = scene.allocate(Scene.udp, (AttributeType(rawValue: 0x4444), []))
      #expect(signed?.code == 420 && signed?.isSigned == true)
      #expect(signed?.unknown == [0x44, 0x44])
      #expect(scene.conversation.openPorts.isEmpty)
    },
    Requirement("6.3.1", "authentication comes before unknown attributes") {
      let answer = Scene().ask(.allocate, signs: false) { $0.append(AttributeType(rawValue: 0x4444), []) }
      #expect(answer?.code == 401)
    },
    Requirement("6.3.1", "a retransmission is answered so that client and server agree") {
      let scene = Scene()
      let request = scene.client.request(.allocate, transaction: 77) { $0.append(.requestedTransport, UInt32(17) << 24) }
      let first = scene.client.ask(request)
      #expect(first?.relayedAddress != nil)
      scene.conversation.tick(seconds: 39)
      #expect(scene.client.ask(request)?.bytes == first?.bytes)
      #expect(scene.conversation.openPorts.count == 1)
      let again = scene.client.request(.channelBind, transaction: 78) {
        $0.append(.channelNumber, UInt32(0x4000) << 16)
        Scene.peer("8.8.8.8:1", &$0)
      }
      #expect(scene.client.ask(again)?.code == nil)
      #expect(scene.client.ask(again)?.code == nil)
      #expect(scene.conversation.relay.channels.count == 1)
    },
    Requirement("6.3.1.1", "an answer has the request's method and transaction; an error has ERROR-CODE with a phrase") {
      let scene = Scene()
      let answer = try #require(scene.ask(.refresh))
      #expect(answer.type == MessageType(.refresh, .error))
      let parsed = try #require(Parsed(answer.bytes))
      #expect(parsed[.errorCode] == [0, 0, 4, 37] + Array("Allocation Mismatch".utf8))
      #expect(Array(answer.bytes[8..<20]) == [0, 0, 0, 7] + scene.lastTransaction)
    },
    Requirement("6.3.1.1", "where SOFTWARE is configured, success and error have it") {
      let scene = Scene { $0.software = Array("Turnpike".utf8) }
      for answer in [scene.ask(.binding, signs: false), scene.ask(.refresh), scene.allocate(Scene.udp), scene.client.challenge()] {
        #expect(Parsed(answer?.bytes ?? [])?[.software] == Array("Turnpike".utf8))
      }
    },
    Requirement("6.3.1.1", "XOR-MAPPED-ADDRESS is where the request came from, IPv6 under the transaction") {
      let conversation = Conversation()
      for address in ["192.0.2.7:5000", "[2001:db8:1::7]:65535"] {
        let client = TestClient(conversation, address)
        #expect(client.ask(client.request(.binding, signs: false))?.mappedAddress == SocketAddress(address))
      }
    },
    Requirement("6.3.2", "an indication with unknown comprehension-required attributes is discarded") {
      let (scene, _) = try Scene.allocated()
      let disposition = scene.indication(.send) {
        Scene.peer("8.8.8.8:1", &$0)
        $0.append(AttributeType(rawValue: 0x7777), [])
        $0.append(.data, [1])
      }
      #expect(disposition.drop == .unknownAttribute)
    },
    Requirement("6.3.2", "no answer to an indication, whatever is wrong with it") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.indication(.binding) { _ in }.drop != nil)
      #expect(scene.indication(.send) { _ in }.drop != nil)
      #expect(scene.indication(.send) { Scene.peer("8.8.8.8:0", &$0); $0.append(.data, [1]) }.drop != nil)
      #expect(scene.conversation.lateReplies.count == 1)  // the Allocate's own
    },
    Requirement("7", "a message with a wrong FINGERPRINT, or one that is not last, is no STUN message") {
      let scene = Scene()
      var bytes = scene.client.request(.binding, signs: false) { $0.appendFingerprint() }
      #expect(scene.client.ask(bytes)?.mappedAddress != nil)
      bytes[bytes.count - 1] ^= 1
      #expect(scene.client.send(bytes).drop == .malformed)
      let amid = scene.client.request(.binding, signs: false) {
        $0.appendFingerprint()
        $0.append(.software, [1, 2, 3, 4])
      }
      #expect(scene.client.send(amid).drop == .malformed)
    },
    Requirement("7", "a request with FINGERPRINT is answered with one, last of all; without, without") {
      let scene = Scene()
      let with = scene.client.ask(scene.client.request(.refresh, afterIntegrity: { $0.appendFingerprint() }))
      #expect(Parsed(with?.bytes ?? [])?.order.last == AttributeType.fingerprint.rawValue)
      #expect(Parsed(scene.ask(.refresh)?.bytes ?? [])?.order.contains(AttributeType.fingerprint.rawValue) == false)
    },
  ]

  // MARK: - Section 9

  static let authentication = [
    Requirement("9", "what follows MESSAGE-INTEGRITY is ignored, known or not") {
      let (scene, _) = try Scene.allocated()
      let request = scene.client.request(.refresh) {
        $0.append(.lifetime, UInt32(700))
      } afterIntegrity: {
        $0.append(.lifetime, UInt32(0))
        $0.append(AttributeType(rawValue: 0x7777), [1])
      }
      #expect(scene.client.ask(request)?.lifetime == 700)
      #expect(scene.conversation.relay.allocationCount == 1)
    },
    Requirement("9.2.4", "without integrity: 401 with REALM, NONCE, PASSWORD-ALGORITHMS and nothing that is signed or names a user") {
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind] {
        let answer = try #require(Scene().ask(method, signs: false) { $0.append(.username, text: "alice") })
        let parsed = try #require(Parsed(answer.bytes))
        #expect(answer.code == 401)
        #expect(Set(parsed.order) == [0x0009, 0x0014, 0x0015, 0x8002])
        #expect(parsed[.realm] == Array(Conversation.realm.utf8))
        #expect(parsed[.nonce]?.starts(with: Array("obMatJos2".utf8)) == true)
      }
    },
    Requirement("9.2.4", "integrity without a name, REALM or NONCE is 400, with none of the challenge") {
      let client = ModernClient(Conversation())
      let without = [
        client.request(user: nil, integrity: .sha1, key: Conversation.key),
        client.request(realm: nil, integrity: .sha1, key: Conversation.key),
        client.request(hasNonce: false, integrity: .sha1, key: Conversation.key),
      ]
      for request in without {
        let answer = try #require(client.ask(request))
        #expect(answer.code == 400)
        #expect(Parsed(answer.message)?.order == [0x0009])
      }
    },
    Requirement("9.2.4", "where the nonce promises algorithms, only one of the two attributes is 400, and so is a changed list") {
      let client = ModernClient(Conversation())
      let md5: [UInt8] = [0, 1, 0, 0]
      for request in [
        client.request(list: .some(client.list), integrity: .sha1, key: Conversation.key),
        client.request(algorithm: md5, integrity: .sha1, key: Conversation.key),
        client.request(list: .some(md5), algorithm: md5, integrity: .sha1, key: Conversation.key),
        client.request(list: .some(client.list), algorithm: [0, 9, 0, 0], integrity: .sha1, key: Conversation.key),
        client.request(list: .some(client.list), algorithm: [0, 1], integrity: .sha1, key: Conversation.key),
      ] { #expect(client.ask(request)?.code == 400) }
    },
    Requirement("9.2.4", "unknown name, wrong password, wrong realm: 401 with a challenge") {
      let scene = Scene()
      for change in 0..<3 {
        let client = TestClient(scene.conversation)
        client.challenge()
        switch change {
        case 0: client.username = "mallory"
        case 1: client.key = Conversation.otherKey
        default: client.realm = "example.com"
        }
        let answer = client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
        #expect(answer?.code == 401 && answer?.nonce != nil && answer?.isSigned == false)
      }
    },
    Requirement("9.2.4", "a good key with a nonce that is over: 438 with a fresh one, which then is good") {
      let scene = Scene()
      scene.conversation.wait(seconds: 601)
      let answer = try #require(scene.allocate(Scene.udp))
      #expect(answer.code == 438)
      #expect(Set(Parsed(answer.bytes)?.order ?? []) == [0x0009, 0x0014, 0x0015, 0x8002])
      scene.client.nonce = answer.nonce ?? []
      #expect(scene.allocate(Scene.udp)?.relayedAddress != nil)
    },
    Requirement("9.2.4", "a wrong key is 401 even where the nonce is over") {
      let scene = Scene()
      scene.conversation.wait(seconds: 601)
      scene.client.key = Conversation.otherKey
      #expect(scene.allocate(Scene.udp)?.code == 401)
    },
    Requirement("9.2.4", "a nonce is not valid for another transport address") {
      let scene = Scene()
      for other in ["192.0.2.7:5001", "192.0.2.8:5000"] {
        let client = TestClient(scene.conversation, other)
        client.nonce = scene.client.nonce
        #expect(client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })?.code == 438)
      }
    },
    Requirement("9.2.4", "implicit MD5 is answered with MESSAGE-INTEGRITY, a chosen algorithm with MESSAGE-INTEGRITY-SHA256") {
      let conversation = Conversation { $0.realms[0].users = [Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)] }
      let client = ModernClient(conversation)
      let old = client.ask(client.request(.refresh, integrity: .sha1, key: Conversation.key))
      #expect(Parsed(old?.message ?? [])?.order.last == AttributeType.messageIntegrity.rawValue)
      let new = client.ask(
        client.request(
          .refresh, list: .some(client.list), algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key))
      let parsed = Parsed(new?.message ?? [])
      #expect(new?.code == 437)
      #expect(parsed?.order.last == AttributeType.messageIntegritySHA256.rawValue)
      #expect(parsed?[.messageIntegrity] == nil)
    },
    Requirement("10", "300 only to who is authenticated, with ALTERNATE-SERVER of the same family, signed") {
      let scene = Scene { $0.redirect = Redirect(server: IPAddress("198.51.100.9")!, port: nil, domain: []) }
      #expect(scene.ask(.allocate, signs: false) { $0.append(.requestedTransport, UInt32(17) << 24) }?.code == 401)
      let answer = try #require(scene.allocate(Scene.udp))
      #expect(answer.code == 300 && answer.isSigned)
      #expect(Parsed(answer.bytes)?[.alternateServer] == [0, 1, 0x0D, 0x96, 198, 51, 100, 9])
    },
  ]
}

extension Scene {
  /// The last request's transaction ID: what follows its 32 bits that are always 7.
  var lastTransaction: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: conversation.nextTransaction >> UInt64(56 - 8 * $0)) }
  }
}
