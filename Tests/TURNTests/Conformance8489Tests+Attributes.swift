import Crypto
import STUN
import Testing

@testable import TURN

extension Conformance8489Tests {
  // MARK: - Section 14

  static let attributes = [
    Requirement("14", "padding is zero in every sent message") {
      let scene = Scene { $0.policy.software = "abc" }
      for answer in [scene.client.challenge(), scene.ask(.refresh), scene.allocate(Scene.udp)] {
        #expect(Parsed(answer?.bytes ?? [])?.paddingIsZero == true)
      }
    },
    Requirement("14", "padding in received messages may have any value") {
      let scene = Scene()
      var bytes = scene.client.request(.binding, signs: false) { $0.append(.software, [1]) }
      bytes[bytes.count - 1] = 0xFF
      #expect(scene.client.ask(bytes)?.mappedAddress != nil)
    },
    Requirement("14", "the first of several attributes of one type counts") {
      let (scene, _) = try Scene.allocated()
      #expect(
        scene.ask(.refresh) {
          $0.append(.lifetime, UInt32(900))
          $0.append(.lifetime, UInt32(0))
        }?.lifetime == 900)
    },
    Requirement("14.3", "a USERNAME of more than 763 bytes gives 401") {
      let scene = Scene()
      scene.client.username = String(repeating: "a", count: 764)
      #expect(scene.allocate(Scene.udp)?.code == 401)
    },
    Requirement("14.6", "MESSAGE-INTEGRITY-SHA256 must have all 32 bytes") {
      let conversation = Conversation {
        $0.realms[0].users = [
          Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)
        ]
      }
      let client = ModernClient(conversation)
      for (count, isGood) in [(12, false), (16, false), (28, false), (32, true)] {
        let answer = client.ask(
          client.request(
            .refresh, list: .some(client.list), algorithm: [0, 2, 0, 0], integrity: .truncated(count),
            key: ModernClient.sha256Key))
        #expect(answer?.code == (isGood ? 437 : 401))
      }
    },
    Requirement("14.8", "class and number of an error code are separate fields, the other bits are zero") {
      let answer = Scene().client.challenge()
      #expect(Parsed(answer?.bytes ?? [])?[.errorCode]?.prefix(4) == [0, 0, 4, 1])
    },
    Requirement("14.9, 14.10", "REALM and NONCE are shorter than 128 characters") {
      let parsed = Parsed(Scene().client.challenge()?.bytes ?? [])
      #expect((parsed?[.realm]?.count ?? 999) < 128 && (parsed?[.nonce]?.count ?? 999) < 128)
    },
    Requirement("14.10", "a NONCE of more than 763 bytes gives 400") {
      let scene = Scene()
      scene.client.nonce = [UInt8](repeating: 0x41, count: 764)
      #expect(scene.allocate(Scene.udp)?.code == 400)
    },
  ]
}
