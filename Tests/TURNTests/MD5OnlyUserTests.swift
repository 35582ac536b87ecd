import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Users with an MD5 key only")
struct MD5OnlyUserTests {
  private func conversation(_ algorithms: [PasswordAlgorithm] = [.md5, .sha256]) -> Conversation {
    Conversation {
      $0.policy.passwordAlgorithms = algorithms
      $0.realms[0].hasUsersWithoutSHA256 = true
      $0.realms[0].users = [
        Array("alice".utf8): CredentialKeys(md5: [Conversation.key]),
        Array("bob".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key),
      ]
    }
  }

  @Test("The realm of a user with an MD5 key only offers MD5 only, to every client")
  func offer() {
    #expect(ModernClient(conversation()).list == [0, 1, 0, 0])
    // A configuration without MD5 stays as it is.
    #expect(ModernClient(conversation([.sha256])).list == [0, 2, 0, 0])
  }

  @Test("A user with an MD5 key only is accepted by the rules of RFC 5389 and of RFC 8489", arguments: [false, true])
  func accepted(isModern: Bool) {
    let client = ModernClient(conversation())
    let request =
      isModern
      ? client.request(list: client.list, algorithm: [0, 1, 0, 0], integrity: .sha256, key: Conversation.key)
      : client.request(integrity: .sha1, key: Conversation.key)
    #expect(client.ask(request)?.isSuccess == true)
  }

  @Test("With SHA-256 alone a user with an MD5 key only gets the same 401 as an unknown user, also with a key of zeros")
  func refused() throws {
    let client = ModernClient(conversation([.sha256]))
    let zeros = try #require(Digest([UInt8](repeating: 0, count: 32)))
    for (name, key) in [("alice", ModernClient.sha256Key), ("alice", zeros), ("nobody", zeros)] {
      let answer = client.ask(
        client.request(
          user: (.username, Array(name.utf8)), list: client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: key)
      )
      #expect(answer?.code == 401, "\(name)")
    }
  }
}
