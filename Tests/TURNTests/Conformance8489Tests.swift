import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// RFC 8489, section by section, as far as a server can violate it. (STUNTests tests the coding of attributes.)
@Suite("Conformance: RFC 8489")
struct Conformance8489Tests {
  @Test("Each requirement of the RFC is met", arguments: messages + authentication + attributes)
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
    Requirement(
      "RFC 7983, 7",
      "over UDP a first byte of 0 to 3 is STUN, of 64 to 127 ChannelData (to 79 in RFC 7983), any other neither"
    ) {
      for first in UInt8.min...UInt8.max {
        let drop = Scene().client.send([first] + [UInt8](repeating: 0, count: 40)).drop
        switch first {
        case 0...3: #expect(drop == .malformed)
        case 64...127: #expect(drop == .noAllocation)
        default: #expect(drop == .notSTUN)
        }
      }
    },
    Requirement("5", "the magic cookie is 0x2112A442") {
      for offset in 4..<8 { #expect(Scene().client.send(changed(offset, 0)).drop == .malformed) }
    },
    Requirement("5", "the length is a multiple of four, excludes the header, and equals the received length") {
      for length in [UInt8(1), 2, 3, 4, 8] { #expect(Scene().client.send(changed(3, length)).drop == .malformed) }
      #expect(Scene().client.send(Array(binding.dropLast())).drop == .malformed)
      #expect(Scene().client.send(binding + [0, 0, 0, 0]).drop == .malformed)
    },
    Requirement("6.3", "an attribute beyond the end makes the whole message invalid") {
      let bytes = changed(3, 8) + [0x80, 0x22, 0x00, 0x05, 1, 2, 3, 4]
      #expect(Scene().client.send(bytes).drop == .malformed)
    },
    Requirement("6.3", "unsupported methods get no answer") {
      for method in [UInt16(0x002), 0x005, 0x00D, 0x080, 0xFFF] {
        let scene = Scene()
        #expect(scene.ask(Method(rawValue: method)) == nil)
        #expect(scene.ask(Method(rawValue: method), signs: false) == nil)
      }
    },
    Requirement("6.3", "a class that the method does not have gets no answer") {
      let scene = Scene()
      for method in [STUN.Method.send, .data, .connectionAttempt] { #expect(scene.ask(method) == nil) }
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind, .data]
      {
        #expect(scene.indication(method) { _ in }.drop == .unexpectedMessage)
      }
    },
    Requirement("6.3", "responses without a request are discarded") {
      for bits in [[UInt8(0x01), 0x01], [0x01, 0x11], [0x01, 0x03], [0x01, 0x13]] {
        let bytes = bits + binding[2...]
        #expect(Scene().client.send(bytes).drop == .unexpectedMessage)
      }
    },
    Requirement("6.3", "unknown comprehension-optional attributes are ignored") {
      let scene = Scene()
      #expect(scene.allocate(Scene.udp, (AttributeType(rawValue: 0x9999), [1, 2, 3]))?.code == nil)
      #expect(
        scene.ask(.binding, signs: false) { $0.append(AttributeType(rawValue: 0xFFFF), [1]) }?.mappedAddress != nil)
    },
    Requirement("6.3", "unexpected known attributes are ignored") {
      let scene = Scene()
      let answer = scene.ask(.binding, signs: false) {
        $0.append(.lifetime, UInt32(5))
        $0.append(.xorMappedAddress, xor: SocketAddress("8.8.8.8:1")!)
        $0.append(.data, [1, 2])
      }
      #expect(answer?.mappedAddress == scene.client.path.address)
      #expect(
        scene.allocate(Scene.udp, (.channelNumber, [0x40, 0, 0, 0]), (.connectionID, [1, 2, 3, 4]))?.code == nil)
    },
    Requirement("6.3.1", "unknown comprehension-required attributes give 420, which names all of them") {
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
    Requirement("6.3.1", "authentication precedes the check of unknown attributes") {
      let answer = Scene().ask(.allocate, signs: false) { $0.append(AttributeType(rawValue: 0x4444), []) }
      #expect(answer?.code == 401)
    },
    Requirement("6.3.1", "a retransmission gets an answer that keeps client and server consistent") {
      let scene = Scene()
      let request = scene.client.request(.allocate, transaction: 77) {
        $0.append(.requestedTransport, UInt32(17) << 24)
      }
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
    Requirement("6.3.1.1", "an answer has the request's method and transaction; an error has ERROR-CODE with a phrase")
    {
      let scene = Scene()
      let answer = try #require(scene.ask(.refresh))
      #expect(answer.type == MessageType(.refresh, .error))
      let parsed = try #require(Parsed(answer.bytes))
      #expect(parsed[.errorCode] == [0, 0, 4, 37] + Array("Allocation Mismatch".utf8))
      #expect(Array(answer.bytes[8..<20]) == [0, 0, 0, 7] + scene.lastTransaction)
    },
    Requirement(
      "6.3.1.1", "with SOFTWARE configured, signed successes and errors have it, unauthenticated answers do not"
    ) {
      let scene = Scene { $0.policy.software = "Turnpike" }
      for answer in [scene.ask(.refresh), scene.allocate(Scene.udp)] {
        #expect(Parsed(answer?.bytes ?? [])?[.software] == Array("Turnpike".utf8))
      }
      let unknown = scene.ask(.binding, signs: false) { $0.append(AttributeType(rawValue: 0x7FFF), [1, 2, 3, 4]) }
      for answer in [scene.ask(.binding, signs: false), scene.client.challenge(), unknown] {
        let parsed = Parsed(answer?.bytes ?? [])
        #expect(parsed != nil && parsed?[.software] == nil)
      }
    },
    Requirement("6.3.1.1", "XOR-MAPPED-ADDRESS has the source address, for IPv6 masked with the transaction ID") {
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
    Requirement("6.3.2", "an indication gets no answer, whatever is wrong with it") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.indication(.binding) { _ in }.drop != nil)
      #expect(scene.indication(.send) { _ in }.drop != nil)
      #expect(
        scene.indication(.send) {
          Scene.peer("8.8.8.8:0", &$0)
          $0.append(.data, [1])
        }.drop != nil)
      #expect(scene.conversation.lateReplies.count == 1)  // the Allocate's own
    },
    Requirement("7", "a message with a wrong FINGERPRINT, or one before other attributes, is not STUN") {
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
    Requirement("7", "an answer has FINGERPRINT, as the last attribute, exactly if the request has one") {
      let scene = Scene()
      let with = scene.client.ask(scene.client.request(.refresh, afterIntegrity: { $0.appendFingerprint() }))
      #expect(Parsed(with?.bytes ?? [])?.order.last == AttributeType.fingerprint.rawValue)
      #expect(Parsed(scene.ask(.refresh)?.bytes ?? [])?.order.contains(AttributeType.fingerprint.rawValue) == false)
    },
  ]

}

extension Scene {
  /// The last 8 bytes of the last request's transaction ID. The first 4 are always 7.
  var lastTransaction: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: conversation.nextTransaction >> UInt64(56 - 8 * $0)) }
  }
}
