import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Realms")
struct RealmTests {
  static let other = "example.net"

  /// Both realms have a user alice, with different passwords; the second realm allows one channel.
  static func conversation() -> Conversation {
    Conversation {
      var realm = RealmSettings()
      realm.name = Array(other.utf8)
      realm.users = [Array("alice".utf8): CredentialKeys(md5: [key])]
      realm.secrets = [Array("north-wind".utf8)]
      realm.limits.channelsPerAllocation = 1
      realm.limits.bandwidthPerAllocation = .bytesPerSecond(100)
      $0.realms.append(realm)
    }
  }

  static let key = LongTermKey.md5(
    username: Array("alice".utf8), realm: Array(other.utf8), password: Array("hunter2".utf8))

  static func client(_ conversation: Conversation, _ address: String = "192.0.2.7:5000") -> TestClient {
    let client = TestClient(conversation, address, endpoint: 1, realm: 1)
    client.realm = other
    client.key = key
    return client
  }

  @Test("Each realm challenges with its own name and has its own users")
  func challenges() throws {
    let conversation = Self.conversation()
    let here = TestClient(conversation)
    let there = Self.client(conversation)
    for (client, name) in [(here, Conversation.realm), (there, Self.other)] {
      let challenge = try #require(client.challenge())
      let message = try MessageView(challenge.bytes.span.rawBytes)
      #expect(message.value(of: .realm)?.copied() == Array(name.utf8))
      #expect(client.allocate()?.type.messageClass == .success)
    }
    #expect(conversation.holders.map(\.realm.rawValue) == [0, 1])
  }

  @Test("A user of one realm is unknown in the other")
  func users() {
    let conversation = Self.conversation()
    let stranger = TestClient(conversation, endpoint: 1, realm: 1)
    stranger.challenge()
    // The client has a key of the first realm: the second realm refuses it with either REALM.
    #expect(stranger.allocate()?.code == 401)
    stranger.realm = Self.other
    #expect(stranger.allocate()?.code == 401)
    let other = Self.client(conversation)
    other.realm = Conversation.realm
    other.challenge()
    #expect(other.allocate()?.code == 401)
  }

  @Test("A nonce of one realm is stale in the other")
  func nonces() {
    let conversation = Self.conversation()
    let here = TestClient(conversation)
    here.challenge()
    let there = Self.client(conversation)
    there.nonce = here.nonce
    #expect(there.allocate()?.code == 438)
  }

  @Test("Each realm has its own limits")
  func limits() {
    let conversation = Self.conversation()
    let there = Self.client(conversation)
    there.allocate()
    #expect(there.bind(0x4000, "9.9.9.9:9")?.type.messageClass == .success)
    #expect(there.bind(0x4001, "9.9.9.9:10")?.code == 508)
    let here = TestClient(conversation)
    here.allocate()
    here.bind(0x4000, "9.9.9.9:9")
    #expect(here.bind(0x4001, "9.9.9.9:10")?.type.messageClass == .success)
    // One realm allows 100 bytes per second, the other has no limit.
    let media = [UInt8](repeating: 1, count: 100)
    let passed = { (client: TestClient) in (0..<10).count { _ in client.channelData(0x4000, media).peer != nil } }
    #expect(passed(there) == 1)
    #expect(passed(here) == 10)
  }

  @Test("A time-limited name is valid in the realm of its secret only")
  func secrets() {
    let conversation = Self.conversation()
    let name = Array("1800000600:carol".utf8)
    let password = TimeLimitedCredential.password(username: name, secret: Array("north-wind".utf8))
    for (number, realm, isGood) in [(UInt8(1), Self.other, true), (0, Conversation.realm, false)] {
      let client = TestClient(conversation, endpoint: UInt16(number), realm: number)
      client.realm = realm
      client.username = String(decoding: name, as: UTF8.self)
      client.key = LongTermKey.md5(username: name, realm: Array(realm.utf8), password: password)
      client.challenge()
      #expect((client.allocate()?.type.messageClass == .success) == isGood)
    }
  }

  @Test("The store is asked for the user in the listener's realm")
  func store() {
    let conversation = Self.conversation()
    conversation.change { $0.realms[1].hasStore = true }
    let client = Self.client(conversation)
    client.username = "dave"
    client.challenge()
    _ = client.allocate()
    #expect(conversation.lookUpRealms == [1])
  }

  @Test("A realm number without a realm stands for the default realm")
  func unknownNumber() {
    let client = TestClient(Self.conversation(), realm: 77)
    #expect(client.allocate()?.type.messageClass == .success)
  }
}
