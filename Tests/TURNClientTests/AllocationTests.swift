import Crypto
import NetworkTypes
import STUN
import Testing
import TURNClient

@Suite("Allocate by the client")
struct AllocationTests {
  let server = ScriptedServer()

  @Test("The first request has no credentials, the second is signed with the 401's realm and nonce")
  func challenge() throws {
    var client = makeClient()
    #expect(client.deadline == nil)
    client.allocate(now: at(0))
    let first = outputs(&client)
    #expect(first.count == 1)
    let bare = try Request(first[0])
    #expect(bare.method == .allocate && bare.messageClass == .request)
    #expect(bare.transport == 17 && bare.isFingerprintGood)
    #expect(bare.username == nil && !bare.hasIntegrity && bare.family == nil)

    #expect(feed(&client, try server.challenge(first[0]), at(20)) == .response)
    let second = outputs(&client)
    #expect(second.count == 1)
    let signed = try Request(second[0])
    #expect(signed.username == "alice" && signed.realm == "example.org" && signed.nonce == "first-nonce")
    #expect(signed.transactionID != bare.transactionID)
    #expect(signed.hasIntegrity && !signed.hasSHA256)
    #expect(try server.verify(second[0]))

    feed(&client, try server.grant(second[0]), at(45))
    #expect(client.state == .allocated)
    #expect(client.grant?.relayedAddresses == [address("192.0.2.1:50000")])
    #expect(client.grant?.mappedAddress == address("198.51.100.7:1234"))
    #expect(client.grant?.lifetime == .seconds(600))
    #expect(client.grant?.software == "scripted")
    #expect(
      events(&client) == [
        .init(
          operation: .allocate, failure: nil, isAutomatic: false, duration: .milliseconds(45), roundTrips: 2,
          transmissions: 2)
      ])
    #expect(outputs(&client) == [])
    #expect(client.deadline == at(45).advanced(by: .seconds(540)))
  }

  @Test("An unsigned success is accepted from a server that asks for no credentials")
  func anonymous() throws {
    var client = makeClient { $0.credential = nil }
    client.allocate(now: at(0))
    feed(&client, try server.grant(outputs(&client)[0], signed: false), at(5))
    #expect(client.state == .allocated)
  }

  @Test("Families and EVEN-PORT are requested and checked")
  func options() throws {
    var six = makeClient {
      $0.addressFamily = .ipv6
      $0.evenPort = true
      $0.lifetime = .seconds(900)
    }
    six.allocate(now: at(0))
    let request = outputs(&six)[0]
    #expect(try Request(request).family == 2)
    #expect(try Request(request).evenPort == true)
    #expect(try Request(request).lifetime == 900)
    feed(&six, try server.grant(request, signed: false), at(1))
    #expect(
      events(&six).first?.failure
        == .malformed("the relayed address is of a family that was not requested: [192.0.2.1:50000]"))
    // The server has made the allocation, so the client deletes it, once.
    let back = outputs(&six)
    #expect(try back.map { try Request($0).method } == [.refresh] && back.map { try Request($0).lifetime } == [0])
    #expect(six.state == .ended && six.deadline == nil)

    var both = makeClient { $0.wantsBothFamilies = true }
    both.allocate(now: at(0))
    let wish = outputs(&both)[0]
    #expect(try Request(wish).additionalFamily == 2)
    feed(&both, try server.grant(wish, relayed: ["192.0.2.1:50000", "[2001:db8::1]:50001"], signed: false), at(1))
    #expect(both.grant?.relayedAddresses == [address("192.0.2.1:50000"), address("[2001:db8::1]:50001")])
  }

  @Test("The failure after a second 401 says whether the nonce changed; without credentials it asks for them")
  func wrongCredentials() throws {
    for (nonce, isSame) in [("first-nonce", true), ("second-nonce", false)] {
      var client = makeClient()
      client.allocate(now: at(0))
      feed(&client, try server.challenge(outputs(&client)[0]), at(1))
      var again = server
      again.nonce = nonce
      feed(&client, try again.challenge(outputs(&client)[0]), at(2))
      #expect(events(&client).map(\.failure) == [.wrongCredentials(isNonceSame: isSame)])
      #expect(client.state == .ended)
      #expect(outputs(&client) == [])
    }
    var anonymous = makeClient { $0.credential = nil }
    anonymous.allocate(now: at(0))
    feed(&anonymous, try server.challenge(outputs(&anonymous)[0]), at(1))
    #expect(events(&anonymous).map(\.failure) == [.credentialsNeeded(realm: "example.org")])
  }

  @Test("A stale nonce is replaced a limited number of times")
  func staleNonce() throws {
    var client = makeClient()
    client.allocate(now: at(0))
    feed(&client, try server.challenge(outputs(&client)[0]), at(1))
    var server = server
    for round in 1...3 {
      server.nonce = "nonce-\(round)"
      feed(&client, try server.challenge(outputs(&client)[0], .staleNonce), at(UInt64(round) + 1))
      #expect(events(&client) == [])
    }
    var other = client.takeOutput()
    let last = try #require(other)
    #expect(try Request(last).nonce == "nonce-3")
    feed(&client, try server.challenge(last, .staleNonce), at(9))
    #expect(events(&client).map(\.failure) == [.nonceNeverFresh])
    other = client.takeOutput()
    #expect(other == nil)
  }

  @Test("SHA-256 and USERHASH are used if the nonce cookie and the list offer them")
  func sha256() throws {
    var server = ScriptedServer()
    // Both feature bits: 0xC00000.
    server.nonce = "obMatJos2wAAArest"
    server.algorithms = [0, 2, 0, 0, 0, 1, 0, 0]
    server.signsWithSHA256 = true
    var client = makeClient()
    client.allocate(now: at(0))
    feed(&client, try server.challenge(outputs(&client)[0]), at(1))
    let bytes = outputs(&client)[0]
    let request = try Request(bytes)
    #expect(request.hasSHA256 && !request.hasIntegrity)
    #expect(request.username == nil)
    #expect(
      request.userHash == LongTermKey.userHash(username: Array("alice".utf8), realm: Array("example.org".utf8)).array)
    #expect(request.passwordAlgorithm == 2 << 16)
    #expect(try server.verify(bytes))
    feed(&client, try server.grant(bytes), at(2))
    #expect(client.state == .allocated)
    #expect(client.usesSHA256 == true)
  }

  @Test(
    "A challenge that the client cannot answer is a failure",
    arguments: [
      (
        "obMatJos2gAAArest", nil,
        "the nonce announces PASSWORD-ALGORITHMS, but the response has none (RFC 8489 section 9.2.5)"
      ),
      ("obMatJos2gAAArest", [0, 9, 0, 0], "none of the password algorithms is known"),
      ("obMatJos2gAAArest", [0, 9, 0xFF, 0xFF], "none of the password algorithms is known"),
      ("", nil, "no usable NONCE"),
    ] as [(String, [UInt8]?, String)])
  func impossibleChallenge(nonce: String, algorithms: [UInt8]?, complaint: String) throws {
    var server = ScriptedServer()
    server.nonce = nonce
    server.algorithms = algorithms
    var client = makeClient()
    client.allocate(now: at(0))
    feed(&client, try server.challenge(outputs(&client)[0]), at(1))
    #expect(events(&client).map(\.failure) == [.authenticationUnsupported(complaint)])
  }

  @Test("A success with a wrong signature is dropped over UDP and ends the request over a stream")
  func wrongSignature() throws {
    for isStream in [false, true] {
      var client = makeClient { $0.isStream = isStream }
      client.allocate(now: at(0))
      feed(&client, try server.challenge(outputs(&client)[0]), at(1))
      var liar = server
      liar.password = "guess"
      let bytes = outputs(&client)[0]
      let received = feed(&client, try liar.grant(bytes), at(2))
      if isStream {
        #expect(received == .response)
      } else {
        #expect(received == .discarded(.wrongIntegrity))
        #expect(feed(&client, try server.grant(bytes, signed: false), at(3)) == .discarded(.wrongIntegrity))
        while client.state == .allocating, let deadline = client.deadline { client.advance(to: deadline) }
      }
      #expect(events(&client).map(\.failure) == [.integrityViolated])
    }
  }

  @Test("An unsigned error is accepted only if the settings trust it")
  func unsignedError() throws {
    for trusts in [true, false] {
      var client = makeClient { $0.trustsUnsignedErrors = trusts }
      client.allocate(now: at(0))
      feed(&client, try server.challenge(outputs(&client)[0]), at(1))
      let refusal = try server.respond(
        to: outputs(&client)[0], .error, error: .allocationQuotaReached, signed: false)
      let received = feed(&client, refusal, at(2))
      #expect(received == (trusts ? .response : .discarded(.wrongIntegrity)))
      #expect(
        events(&client).map(\.failure)
          == (trusts
            ? [
              .refused(
                .allocationQuotaReached, phrase: "Allocation Quota Reached", alternateServer: nil,
                isAuthenticated: false)
            ] : []))
    }
  }

  @Test("A silent server is given up after 39.5 s")
  func silentServer() {
    var client = makeClient()
    client.allocate(now: at(0))
    var sent = outputs(&client)
    while client.state == .allocating, let deadline = client.deadline {
      client.advance(to: deadline)
      sent += outputs(&client)
    }
    #expect(sent.count == 7)
    #expect(Set(sent).count == 1)
    #expect(
      events(&client) == [
        .init(
          operation: .allocate, failure: .timeout(transmissions: 7, discarded: nil), isAutomatic: false,
          duration: .milliseconds(39_500), roundTrips: 1, transmissions: 7)
      ])
  }
}
