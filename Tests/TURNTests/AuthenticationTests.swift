import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("RFC 8489 section 9.2: the long-term credential mechanism")
struct AuthenticationTests {
  @Test(
    "9.2, 18.1: the nonce begins with obMatJos2 and the feature bits, bit 0 the most significant",
    arguments: [(false, "obMatJos2wAAA"), (true, "obMatJos2gAAA")])
  func nonceCookie(hasSecrets: Bool, cookie: String) throws {
    let conversation = Conversation { if hasSecrets { $0.realms[0].secrets = [Array("s".utf8)] } }
    let challenge = try #require(TestClient(conversation).challenge())
    #expect(Array((challenge.nonce ?? []).prefix(13)) == Array(cookie.utf8))
  }

  @Test(
    "9.2.5, 18.5.1.1: PASSWORD-ALGORITHMS in a 401 lists the configured algorithms, MD5 last",
    arguments: [
      ([PasswordAlgorithm.md5, .sha256], [0, 2, 0, 0, 0, 1, 0, 0] as [UInt8]),
      ([.sha256, .md5], [0, 2, 0, 0, 0, 1, 0, 0]), ([.sha256], [0, 2, 0, 0]), ([.md5], [0, 1, 0, 0]),
    ])
  func offer(algorithms: [PasswordAlgorithm], list: [UInt8]) {
    #expect(ModernClient(Conversation { $0.policy.passwordAlgorithms = algorithms }).list == list)
  }

  @Test("9.2.4: 401 and 438 are small and unsigned, with REALM, NONCE and PASSWORD-ALGORITHMS")
  func challenges() throws {
    let conversation = Conversation()
    let client = ModernClient(conversation)
    conversation.wait(seconds: 601)
    let stale = try #require(client.ask(client.request(integrity: .sha1, key: Conversation.key)))
    #expect(stale.code == 438)
    let first = try #require(ModernClient(conversation, address: "192.0.2.8:1").client.challenge())
    for bytes in [stale.message, first.bytes] {
      let message = try MessageView(bytes.span.rawBytes)
      for (attribute, isThere) in [
        (AttributeType.realm, true), (.nonce, true), (.passwordAlgorithms, true), (.username, false),
        (.userHash, false), (.messageIntegrity, false), (.messageIntegritySHA256, false),
      ] {
        let has = message.has(attribute)
        #expect(has == isThere)
      }
      #expect(bytes.count <= 104)
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// The error expected, nil for success.
    var code: UInt16?
    /// The integrity attribute of the answer.
    var signature: AttributeType?
    /// Whether the answer is signed with the SHA-256 key instead of the MD5 key.
    var isSHA256Key = false
    var build: @Sendable (borrowing Box) -> [UInt8]
  }

  /// Gives the table's closures access to the private client.
  struct Box {
    fileprivate var client: ModernClient
  }

  @Test(
    "9.2.4: each step of the server's checks gives its error code",
    arguments: [
      Case(
        testDescription: "without algorithm attributes: MD5, answered with MESSAGE-INTEGRITY",
        signature: .messageIntegrity
      ) {
        $0.client.request(integrity: .sha1, key: Conversation.key)
      },
      Case(testDescription: "MESSAGE-INTEGRITY-SHA256 over the MD5 key", signature: .messageIntegrity) {
        $0.client.request(integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "SHA-256 chosen", signature: .messageIntegritySHA256, isSHA256Key: true) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "SHA-256 chosen, both integrities", signature: .messageIntegritySHA256, isSHA256Key: true) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 2, 0, 0], integrity: .both, key: ModernClient.sha256Key)
      },
      Case(testDescription: "SHA-256 chosen, SHA-1 integrity", signature: .messageIntegritySHA256, isSHA256Key: true) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 2, 0, 0], integrity: .sha1, key: ModernClient.sha256Key)
      },
      Case(testDescription: "MD5 chosen: answered with MESSAGE-INTEGRITY-SHA256", signature: .messageIntegritySHA256) {
        $0.client.request(list: $0.client.list, algorithm: [0, 1, 0, 0], integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "USERHASH", signature: .messageIntegritySHA256, isSHA256Key: true) {
        $0.client.request(
          user: (.userHash, ModernClient.userHash.array), list: $0.client.list, algorithm: [0, 2, 0, 0],
          integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "USERHASH of an unknown user", code: 401) {
        $0.client.request(
          user: (.userHash, [UInt8](repeating: 1, count: 32)), list: $0.client.list, algorithm: [0, 2, 0, 0],
          integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "USERHASH of 31 bytes", code: 400) {
        $0.client.request(
          user: (.userHash, [UInt8](repeating: 1, count: 31)), integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "no integrity", code: 401) { $0.client.request(integrity: .none, key: Conversation.key) },
      Case(testDescription: "SHA-256 integrity without USERNAME", code: 400) {
        $0.client.request(user: nil, integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "SHA-256 integrity without REALM", code: 400) {
        $0.client.request(realm: nil, integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "SHA-256 integrity without NONCE", code: 400) {
        $0.client.request(hasNonce: false, integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "PASSWORD-ALGORITHM alone", code: 400) {
        $0.client.request(algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "PASSWORD-ALGORITHMS alone", code: 400) {
        $0.client.request(list: $0.client.list, integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "a list without its stronger algorithm", code: 400) {
        $0.client.request(list: [0, 1, 0, 0], algorithm: [0, 1, 0, 0], integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "a list in another order", code: 400) {
        $0.client.request(
          list: [0, 1, 0, 0, 0, 2, 0, 0], algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "an algorithm that was not offered", code: 400) {
        $0.client.request(list: $0.client.list, algorithm: [0, 3, 0, 0], integrity: .sha256, key: Conversation.key)
      },
      Case(testDescription: "PASSWORD-ALGORITHM with parameters", code: 400) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 2, 0, 4, 1, 1, 1, 1], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "PASSWORD-ALGORITHM of two bytes", code: 400) {
        $0.client.request(list: $0.client.list, algorithm: [0, 2], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "the SHA-256 key although MD5 was chosen", code: 401) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 1, 0, 0], integrity: .sha256, key: ModernClient.sha256Key)
      },
      Case(testDescription: "the wrong key", code: 401) {
        $0.client.request(
          list: $0.client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: Conversation.otherKey)
      },
      Case(testDescription: "another realm", code: 401) {
        $0.client.request(realm: Array("elsewhere".utf8), integrity: .sha1, key: Conversation.key)
      },
      Case(testDescription: "a nonce without the algorithms bit is stale", code: 438) {
        $0.client.request(
          nonce: Array("obMatJos2AAAA".utf8) + $0.client.nonce.dropFirst(13), integrity: .sha1, key: Conversation.key)
      },
      Case(testDescription: "a nonce without a cookie", code: 438) {
        $0.client.request(nonce: Array("f//499k954d6OL34oL9FSTvy64sA".utf8), integrity: .sha1, key: Conversation.key)
      },
    ])
  func steps(row: Case) throws {
    let conversation = Conversation {
      $0.realms[0].users = [
        Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)
      ]
      $0.realms[0].userNames = [ModernClient.userHash.array: Array("alice".utf8)]
    }
    let client = ModernClient(conversation)
    let answer = try #require(client.ask(row.build(Box(client: client))))
    #expect(answer.code == row.code)
    #expect(answer.isSuccess == (row.code == nil))
    let key = row.isSHA256Key ? ModernClient.sha256Key : Conversation.key
    #expect(ModernClient.signatures(answer.message, key: key) == (row.signature.map { [$0] } ?? []))
    #expect(conversation.relay.allocationCount == (row.code == nil ? 1 : 0))
  }

  @Test(
    "14.6: a shortened MESSAGE-INTEGRITY-SHA256 is refused",
    arguments: [(16, false), (20, false), (28, false), (32, true), (12, false), (4, false)])
  func truncation(count: Int, isGood: Bool) throws {
    let client = ModernClient(Conversation())
    let answer = try #require(client.ask(client.request(integrity: .truncated(count), key: Conversation.key)))
    #expect(answer.isSuccess == isGood)
  }

  @Test("9.2.4: errors after authentication are signed like successes")
  func signedErrors() throws {
    let conversation = Conversation {
      $0.realms[0].users = [
        Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)
      ]
    }
    let client = ModernClient(conversation)
    let modern = try #require(
      client.ask(
        client.request(
          .refresh, list: client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key)))
    #expect(modern.code == 437)
    #expect(ModernClient.signatures(modern.message, key: ModernClient.sha256Key) == [.messageIntegritySHA256])
    let old = try #require(client.ask(client.request(.refresh, integrity: .sha1, key: Conversation.key)))
    #expect(old.code == 437)
    #expect(ModernClient.signatures(old.message, key: Conversation.key) == [.messageIntegrity])
  }

  @Test("With only SHA-256 offered there is no MD5 key: an RFC 5389 client gets 401")
  func sha256Only() throws {
    let conversation = Conversation {
      $0.policy.passwordAlgorithms = [.sha256]
      $0.realms[0].users = [
        Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key)
      ]
    }
    let client = ModernClient(conversation)
    #expect(client.ask(client.request(integrity: .sha1, key: Conversation.key))?.code == 401)
    let answer = client.ask(
      client.request(list: client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: ModernClient.sha256Key))
    #expect(answer?.isSuccess == true)
  }

  @Test("Time-limited credentials work with SHA-256 too")
  func timeLimited() throws {
    let conversation = Conversation { $0.realms[0].secrets = [Array("old".utf8), Array("new".utf8)] }
    let client = ModernClient(conversation)
    let name = Array("1800000100:carol".utf8)
    let key = LongTermKey.sha256(
      username: name, realm: Array(Conversation.realm.utf8),
      password: TimeLimitedCredential.password(username: name, secret: Array("new".utf8)))
    func request(_ method: STUN.Method) -> [UInt8] {
      client.request(
        method, user: (.username, name), list: client.list, algorithm: [0, 2, 0, 0], integrity: .sha256, key: key)
    }
    #expect(client.ask(request(.allocate))?.isSuccess == true)
    #expect(client.ask(request(.refresh))?.isSuccess == true)
  }

  @Test("An allocation accepts the other algorithm and the other form of the name, but no other user")
  func changingAlgorithm() throws {
    let conversation = Conversation {
      $0.realms[0].users = [
        Array("alice".utf8): CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key),
        Array("bob".utf8): CredentialKeys(md5: [Conversation.otherKey]),
      ]
      $0.realms[0].userNames = [ModernClient.userHash.array: Array("alice".utf8)]
    }
    let client = ModernClient(conversation)
    #expect(client.ask(client.request(integrity: .sha1, key: Conversation.key))?.isSuccess == true)
    let refresh = client.request(
      .refresh, user: (.userHash, ModernClient.userHash.array), list: client.list, algorithm: [0, 2, 0, 0],
      integrity: .sha256, key: ModernClient.sha256Key)
    #expect(client.ask(refresh)?.isSuccess == true)
    let foreign = client.request(
      .refresh, user: (.username, Array("bob".utf8)), integrity: .sha1, key: Conversation.otherKey)
    #expect(client.ask(foreign)?.code == 441)
  }

  @Test("The store is asked for a USERHASH, and its answer has the name")
  func storeByHash() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
    }
    let client = ModernClient(conversation)
    let request = client.request(
      user: (.userHash, ModernClient.userHash.array), list: client.list, algorithm: [0, 2, 0, 0], integrity: .sha256,
      key: ModernClient.sha256Key)
    #expect(client.ask(request) == nil)
    let lookUp = try #require(conversation.lookUps.first)
    #expect(lookUp.user == .hash(ModernClient.userHash.array))
    conversation.relay.keysFound(
      lookUp.ticket,
      CredentialKeys(md5: [Conversation.key], sha256: ModernClient.sha256Key, name: Array("alice".utf8)),
      now: conversation.now)
    conversation.runCommands()
    #expect(conversation.relay.allocations[Slot(index: 0)].details.username == Array("alice".utf8))
  }

  @Test("14.5: attributes after an integrity attribute are ignored")
  func afterIntegrity() throws {
    let client = ModernClient(Conversation())
    var bytes = client.request(integrity: .sha1, key: Conversation.key)
    // A LIFETIME of 3,600 s after MESSAGE-INTEGRITY: the integrity is still valid, and the lifetime stays the default.
    bytes += [0x00, 0x0D, 0x00, 0x04, 0x00, 0x00, 0x0E, 0x10]
    bytes[3] += 8
    let answer = try #require(client.client.ask(bytes))
    #expect(answer.lifetime == 600)
  }

  @Test("After a change of the offered algorithms old nonces are stale, not wrong")
  func changedOffer() throws {
    let conversation = Conversation()
    let client = ModernClient(conversation)
    var settings = conversation.relay.settings
    settings.policy.passwordAlgorithms = [.md5]
    let gate = conversation.relay.rules.gate
    conversation.relay.update(settings: settings, gate: gate)
    let answer = client.ask(
      client.request(list: client.list, algorithm: [0, 1, 0, 0], integrity: .sha256, key: Conversation.key))
    #expect(answer?.code == 438)
  }
}
