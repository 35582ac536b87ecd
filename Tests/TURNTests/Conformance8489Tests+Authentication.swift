import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Section 9.
extension Conformance8489Tests {
  static let authentication = [
    Requirement("9", "attributes after MESSAGE-INTEGRITY are ignored, known or not") {
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
    Requirement(
      "9.2.4",
      "a request without integrity gets 401 with REALM, NONCE and PASSWORD-ALGORITHMS, unsigned and without a user"
    ) {
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind] {
        let answer = try #require(Scene().ask(method, signs: false) { $0.append(.username, text: "alice") })
        let parsed = try #require(Parsed(answer.bytes))
        #expect(answer.code == 401)
        #expect(Set(parsed.order) == [0x0009, 0x0014, 0x0015, 0x8002])
        #expect(parsed[.realm] == Array(Conversation.realm.utf8))
        #expect(parsed[.nonce]?.starts(with: Array("obMatJos2".utf8)) == true)
      }
    },
    Requirement("9.2.4", "integrity without a name, REALM or NONCE gives 400 without a challenge") {
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
    Requirement(
      "9.2.4",
      "with a nonce that announces algorithms, one of the two attributes alone gives 400, and so does a changed list"
    ) {
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
    Requirement("9.2.4", "an unknown name, a wrong password and a wrong realm give 401 with a challenge") {
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
    Requirement("9.2.4", "a valid key with an expired nonce gives 438 with a fresh nonce, which is then valid") {
      let scene = Scene()
      scene.conversation.wait(seconds: 601)
      let answer = try #require(scene.allocate(Scene.udp))
      #expect(answer.code == 438)
      #expect(Set(Parsed(answer.bytes)?.order ?? []) == [0x0009, 0x0014, 0x0015, 0x8002])
      scene.client.nonce = answer.nonce ?? []
      #expect(scene.allocate(Scene.udp)?.relayedAddress != nil)
    },
    Requirement("9.2.4", "a wrong key gives 401 even with an expired nonce") {
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
    Requirement(
      "9.2.4", "an answer for implicit MD5 has MESSAGE-INTEGRITY, one for a chosen algorithm MESSAGE-INTEGRITY-SHA256"
    ) {
      let conversation = Conversation {
        $0.realms[0].users = [
          Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)
        ]
      }
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
    Requirement("10", "only authenticated clients get 300, with ALTERNATE-SERVER of the same family, signed") {
      let scene = Scene { $0.policy.redirect = Redirect(AlternateServer(IPAddress("198.51.100.9")!, port: nil)) }
      #expect(scene.ask(.allocate, signs: false) { $0.append(.requestedTransport, UInt32(17) << 24) }?.code == 401)
      let answer = try #require(scene.allocate(Scene.udp))
      #expect(answer.code == 300 && answer.isSigned)
      #expect(Parsed(answer.bytes)?[.alternateServer] == [0, 1, 0x0D, 0x96, 198, 51, 100, 9])
    },
  ]
}
