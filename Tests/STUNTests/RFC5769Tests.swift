import Crypto
import NetworkTypes
import STUN
import Testing

@Suite("RFC 5769 sample messages")
struct RFC5769Tests {
  let key = Digest(Array(RFC5769.password.utf8))

  @Test(
    "The short-term samples verify integrity and fingerprint",
    arguments: [RFC5769.request, RFC5769.ipv4Response, RFC5769.ipv6Response])
  func shortTerm(bytes: [UInt8]) throws {
    let message = try MessageView(bytes.span.rawBytes)
    let key = try #require(key)
    var authenticator = MessageAuthenticator()
    let isGood = authenticator.verify(message, key: key)
    #expect(isGood)
    let fingerprint = Fingerprint.verify(message)
    #expect(fingerprint == true)
  }

  @Test("One flipped bit anywhere breaks the integrity or the fingerprint")
  func flippedBit() throws {
    let key = try #require(key)
    var authenticator = MessageAuthenticator()
    for bit in 0..<(RFC5769.request.count * 8) {
      var bytes = RFC5769.request
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      do {
        let message = try MessageView(bytes.span.rawBytes)
        let isGood = authenticator.verify(message, key: key) && Fingerprint.verify(message) == true
        #expect(!isGood, "bit \(bit)")
      } catch {}
    }
  }

  @Test("The IPv4 response maps to 192.0.2.1:32853")
  func ipv4() throws {
    let sample = RFC5769.ipv4Response
    let message = try MessageView(sample.span.rawBytes)
    let address = try message.xorAddress(.xorMappedAddress)
    #expect(address == SocketAddress("192.0.2.1:32853"))
    let type = message.type
    #expect(type == MessageType(.binding, .success))
  }

  @Test("The IPv6 response maps to [2001:db8:1234:5678:11:2233:4455:6677]:32853")
  func ipv6() throws {
    let sample = RFC5769.ipv6Response
    let message = try MessageView(sample.span.rawBytes)
    let address = try message.xorAddress(.xorMappedAddress)
    #expect(address == SocketAddress("[2001:db8:1234:5678:11:2233:4455:6677]:32853"))
  }

  @Test("The long-term sample verifies with the MD5 key of its prepared password")
  func longTerm() throws {
    let sample = RFC5769.longTermRequest
    let message = try MessageView(sample.span.rawBytes)
    let username = message.value(of: .username)?.copied() ?? []
    let realm = message.value(of: .realm)?.copied() ?? []
    #expect(realm == Array("example.org".utf8))
    let key = LongTermKey.md5(username: username, realm: realm, password: Array("TheMatrIX".utf8))
    var authenticator = MessageAuthenticator()
    let isGood = authenticator.verify(message, key: key)
    #expect(isGood)
  }
}
