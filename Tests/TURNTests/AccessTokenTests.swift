import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Third-party authorization (RFC 7635).
@Suite("RFC 7635: access tokens")
struct AccessTokenTests {
  static let key = AccessTokenKey(id: Array("north".utf8), key: Array("12345678901234567890123456789012".utf8))
  static let short = AccessTokenKey(
    id: Array("south".utf8), key: Array("1234567890123456".utf8), notAfter: UnixTime(seconds: 1_800_000_100))
  static let now = UnixTime(seconds: 1_800_000_000)
  /// The time `seconds` after `now`.
  static func at(_ seconds: Int64) -> UnixTime { now.advanced(by: .seconds(seconds)) }
  static let serverName = Array(Conversation.realm.utf8)

  static func sealed(
    _ key: AccessTokenKey = key, macKey: [UInt8] = [UInt8](repeating: 7, count: 20), made: UnixTime = now,
    lifetime: UInt32 = 600, serverName: [UInt8] = serverName, nonce: UInt8 = 1
  ) -> [UInt8] {
    guard let digest = Digest(macKey) else { return [] }
    return AccessToken(macKey: digest, created: made, lifetime: .seconds(lifetime)).sealed(
      key: key, serverName: serverName, nonce: [UInt8](repeating: nonce, count: 12)) ?? []
  }

  static func client(_ conversation: Conversation, id: String = "north", macKey: UInt8 = 7) -> TestClient {
    let client = TestClient(conversation)
    client.username = id
    client.key = Digest([UInt8](repeating: macKey, count: 20))
    return client
  }

  static func conversation(_ configure: (inout RelaySettings) -> Void = { _ in }) -> Conversation {
    Conversation {
      $0.accessTokenKeys = [key, short]
      configure(&$0)
    }
  }

  // MARK: - The token alone

  private func open(_ bytes: [UInt8], _ key: AccessTokenKey, _ serverName: [UInt8]) -> AccessToken? {
    AccessToken(bytes.span.rawBytes, key: key, serverName: serverName)
  }

  @Test("A sealed token is opened with its key and for its server name only", arguments: [key, short])
  func sealing(key: AccessTokenKey) throws {
    let sealed = Self.sealed(key)
    let opened = AccessToken(sealed.span.rawBytes, key: key, serverName: Self.serverName)
    let token = try #require(opened)
    #expect(token.macKey.array == [UInt8](repeating: 7, count: 20))
    #expect(token.created == Self.now && token.lifetime == .seconds(600))
    #expect(open(sealed, key, Array("example.net".utf8)) == nil)
    var other = key
    other.key[0] ^= 1
    #expect(open(sealed, other, Self.serverName) == nil)
  }

  @Test("Every truncated or changed token is refused without a trap")
  func tampering() {
    let sealed = Self.sealed()
    for count in 0..<sealed.count {
      #expect(open(Array(sealed.prefix(count)), Self.key, Self.serverName) == nil)
    }
    for index in sealed.indices {
      for bit in 0..<8 {
        var changed = sealed
        changed[index] ^= 1 << UInt8(bit)
        #expect(open(changed, Self.key, Self.serverName) == nil)
      }
    }
    let long = sealed + [UInt8](repeating: 0, count: 4000)
    #expect(open(long, Self.key, Self.serverName) == nil)
  }

  /// Blocks with a valid seal and wrong lengths inside (section 6.2).
  @Test("A token whose key length does not match its content is refused", arguments: [0, 1, 15, 33, 200, 255, 65_535])
  func keyLength(claimed: Int) throws {
    let block =
      [UInt8(claimed >> 8), UInt8(claimed & 0xFF)] + [UInt8](repeating: 7, count: 20) + [UInt8](repeating: 0, count: 12)
    let nonce = [UInt8](repeating: 2, count: 12)
    let box = try #require(
      AEAD.seal(block, key: Self.key.key, nonce: nonce, associatedData: Self.serverName))
    let token = [0, 12] + nonce + box
    #expect(open(token, Self.key, Self.serverName) == nil)
  }

  /// The seconds from now to when a token was made, its lifetime, and the seconds left; nil if it has expired or is not
  /// yet valid.
  private static let lifetimes: [(Int64, UInt32, Int64?)] = [
    (0, 600, 605), (-600, 600, 5), (-604, 600, 1), (-605, 600, nil), (604, 600, 1), (605, 600, nil),
    (-now.seconds, 600, nil), (0, 0, 5), (0, UInt32.max, 4_294_967_300),
  ]

  @Test("A token is valid for its lifetime, with five seconds of tolerance before and after", arguments: lifetimes)
  func lifetime(
    age: Int64, lifetime: UInt32, expected: Int64?
  ) throws {
    let token = AccessToken(macKey: try #require(Digest([1])), created: Self.at(age), lifetime: .seconds(lifetime))
    #expect(token.timeLeft(now: Self.now) == expected.map { .seconds($0) })
  }

  // MARK: - The conversation

  @Test("A challenge has the server name, and an allocation lives no longer than its token")
  func allocate() throws {
    let conversation = Self.conversation()
    let client = Self.client(conversation)
    let challenge = try #require(client.challenge())
    let message = try MessageView(challenge.bytes.span.rawBytes)
    #expect(message.value(of: .thirdPartyAuthorization)?.copied() == Self.serverName)
    let answer = try #require(client.allocate { $0.append(.accessToken, Self.sealed(lifetime: 100)) })
    #expect(answer.type.messageClass == .success && answer.isSigned)
    #expect(answer.lifetime == 105)
    // Later requests are signed with the token's key and do not contain the token (section 9).
    #expect(client.permit("9.9.9.9:9")?.type.messageClass == .success)
    #expect(client.bind(0x4000, "9.9.9.9:9")?.type.messageClass == .success)
    conversation.tick(seconds: 50)
    #expect(client.refresh(600)?.lifetime == 55)
    conversation.tick(seconds: 54)
    #expect(client.permit("9.9.9.9:9")?.type.messageClass == .success)
  }

  @Test("A signature with the first 16 bytes of the key, as coturn's client makes it, verifies")
  func shortKey() {
    let client = Self.client(Self.conversation())
    client.key = Digest([UInt8](repeating: 7, count: 16))
    client.challenge()
    let answer = client.allocate { $0.append(.accessToken, Self.sealed()) }
    #expect(answer?.type.messageClass == .success && answer?.isSigned == true)
    #expect(client.permit("9.9.9.9:9")?.type.messageClass == .success)
  }

  @Test("After the token expires its key is invalid, and a new token continues the allocation")
  func renewal() throws {
    let conversation = Self.conversation { $0.policy.defaultLifetime = .seconds(600) }
    let client = Self.client(conversation)
    client.challenge()
    #expect(client.allocate { $0.append(.accessToken, Self.sealed(lifetime: 100)) }?.lifetime == 105)
    conversation.tick(seconds: 90)
    let next = Self.client(conversation, macKey: 9)
    next.nonce = client.nonce
    let macKey = [UInt8](repeating: 9, count: 20)
    let token = Self.sealed(macKey: macKey, made: Self.at(90), lifetime: 3000, nonce: 2)
    let answer = try #require(
      next.ask(
        next.request(.refresh) {
          $0.append(.lifetime, 1000 as UInt32)
          $0.append(.accessToken, token)
        }))
    #expect(answer.lifetime == 1000 && answer.isSigned)
    #expect(client.permit("9.9.9.9:9")?.code == 401)
    #expect(next.permit("9.9.9.9:9")?.type.messageClass == .success)
    conversation.tick(seconds: 600)
    next.challenge()
    #expect(next.permit("9.9.9.9:9")?.type.messageClass == .success)
    #expect(next.refresh(0)?.lifetime == 0)
  }

  @Test("A token under another server key continues the allocation too")
  func otherKey()
    throws
  {
    let conversation = Self.conversation()
    let client = Self.client(conversation)
    client.challenge()
    _ = client.allocate { $0.append(.accessToken, Self.sealed()) }
    client.username = "south"
    let answer = client.ask(client.request(.refresh) { $0.append(.accessToken, Self.sealed(Self.short)) })
    #expect(answer?.type.messageClass == .success)
    #expect(client.permit("9.9.9.9:9")?.type.messageClass == .success)
    // A token gives no access to an allocation that a user made with a password.
    let alice = TestClient(conversation, "192.0.2.8:5000")
    alice.allocate()
    let thief = TestClient(conversation, "192.0.2.8:5000")
    thief.username = "north"
    thief.key = client.key
    thief.nonce = alice.nonce
    #expect(thief.ask(thief.request(.refresh) { $0.append(.accessToken, Self.sealed()) })?.code == 441)
  }

  @Test("A wrong token and a wrong signature give 401")
  func refusals() throws {
    let cases: [(String, String, UInt8, [UInt8])] = [
      ("unknown key", "west", 7, Self.sealed()), ("the other key's name", "south", 7, Self.sealed()),
      ("another MAC key", "north", 8, Self.sealed()), ("expired", "north", 7, Self.sealed(made: Self.at(-700))),
      ("from the future", "north", 7, Self.sealed(made: Self.at(700))),
      ("for another server", "north", 7, Self.sealed(serverName: Array("example.net".utf8))),
      ("empty", "north", 7, []), ("noise", "north", 7, [UInt8](repeating: 3, count: 80)),
    ]
    for (name, id, macKey, token) in cases {
      let client = Self.client(Self.conversation(), id: id, macKey: macKey)
      client.challenge()
      let answer = client.allocate { $0.append(.accessToken, token) }
      #expect(answer?.code == 401, "\(name)")
      #expect(answer?.nonce?.isEmpty == false, "\(name)")
    }
  }

  @Test("An expired key opens no token")
  func expiredKey() {
    let conversation = Self.conversation()
    let client = Self.client(conversation, id: "south")
    client.challenge()
    #expect(client.allocate { $0.append(.accessToken, Self.sealed(Self.short)) }?.type.messageClass == .success)
    conversation.tick(seconds: 100)
    client.challenge()
    let refresh = client.ask(
      client.request(.refresh) { $0.append(.accessToken, Self.sealed(Self.short, made: Self.at(100))) })
    #expect(refresh?.code == 401)
  }

  @Test("Without keys ACCESS-TOKEN is an unknown attribute, and no challenge offers tokens")
  func noKeys() throws {
    let client = Self.client(Conversation())
    let challenge = try #require(client.challenge())
    #expect(!(try MessageView(challenge.bytes.span.rawBytes)).has(.thirdPartyAuthorization))
    let answer = client.allocate { $0.append(.accessToken, Self.sealed()) }
    #expect(answer?.code == 420)
    #expect(answer?.unknown?.prefix(2) == [0x00, 0x1B])
  }

  @Test("Users with passwords work beside tokens")
  func users() {
    let client = TestClient(Self.conversation())
    #expect(client.allocate()?.lifetime == 600)
  }

  @Test("A stale nonce gives 438 with a valid token too")
  func staleNonce() {
    let conversation = Self.conversation { $0.policy.nonceLifetime = .seconds(10) }
    let client = Self.client(conversation)
    client.challenge()
    conversation.tick(seconds: 11)
    #expect(client.allocate { $0.append(.accessToken, Self.sealed()) }?.code == 438)
  }

  @Test("Quotas count each token, not the shared key")
  func quotas() {
    let conversation = Self.conversation()
    conversation.change { $0.accessTokenKeys = [Self.key] }
    let client = Self.client(conversation)
    client.challenge()
    _ = client.allocate { $0.append(.accessToken, Self.sealed()) }
    #expect(conversation.holders.map(\.user.count) == [5 + 1 + 8])
    #expect(conversation.holders.first?.user.starts(with: Array("north".utf8)) == true)
  }
}
