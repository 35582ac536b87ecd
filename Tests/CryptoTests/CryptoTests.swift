import Crypto
import NetworkTypes
import Testing

@Suite("Hashes, MACs and random numbers")
struct CryptoTests {
  func bytes(_ hexadecimal: String) -> [UInt8] {
    var result: [UInt8] = []
    var rest = Substring(hexadecimal)
    while rest.count >= 2 {
      result.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
      rest = rest.dropFirst(2)
    }
    return result
  }

  @Test("HMAC-SHA1 matches RFC 2202 and HMAC-SHA-256 RFC 4231, with one reused context")
  func hmac() {
    var sha1 = HMACContext(.sha1)
    var sha256 = HMACContext(.sha256)
    let key = [UInt8](repeating: 0x0B, count: 20)
    let text = Array("Hi There".utf8)
    let jefe = Array("Jefe".utf8)
    let what = Array("what do ya want for nothing?".utf8)
    #expect(
      sha1.authenticate(text.span.rawBytes, key: key.span.rawBytes).array
        == bytes("b617318655057264e28bc0b6fb378c8ef146be00"))
    #expect(
      sha1.authenticate(what.span.rawBytes, key: jefe.span.rawBytes).array
        == bytes("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"))
    #expect(
      sha256.authenticate(text.span.rawBytes, key: key.span.rawBytes).array
        == bytes("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
    #expect(
      sha256.authenticate(what.span.rawBytes, key: jefe.span.rawBytes).array
        == bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
  }

  @Test("The long-term key matches the example of RFC 8489, 9.2.2")
  func longTermKey() {
    let key = LongTermKey.md5(
      username: Array("user".utf8), realm: Array("realm".utf8), password: Array("pass".utf8))
    #expect(key.array == bytes("8493fbc53ba582fb4c044c456bdc40eb"))
  }

  @Test("CRC-32 matches the check value, and a bitwise computation at every length and alignment")
  func crc() {
    #expect(CRC32.checksum(Array("123456789".utf8).span.rawBytes) == 0xCBF4_3926)
    let data = (0..<67).map { UInt8($0 * 7 & 0xFF) }
    for length in 0...67 {
      let part = Array(data.prefix(length))
      var crc: UInt32 = ~0
      for byte in part {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
      }
      #expect(CRC32.checksum(part.span.rawBytes) == ~crc)
    }
  }

  @Test("Base64 encodes and decodes, and invalid text is refused")
  func base64() {
    for length in 0..<20 {
      let data = (0..<length).map { UInt8($0 &* 37 & 0xFF) }
      #expect(Base64.decode(Base64.encode(data)) == data)
    }
    #expect(Base64.encode(Array("fo".utf8)) == "Zm8=")
    #expect(Base64.decode("Zm8") == nil)
    #expect(Base64.decode("Zm8!") == nil)
  }

  @Test("The time-limited password is the one that coturn's documentation computes")
  func timeLimited() {
    // printf 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64
    let password = TimeLimitedCredential.password(username: Array("1800000000:alice".utf8), secret: Array("north".utf8))
    #expect(String(decoding: password, as: UTF8.self) == "sIm7pn/teO7y3AyXGeXl/xAQR6Q=")
    #expect(
      TimeLimitedCredential.expiry(ofUsername: Array("1800000000:alice".utf8)) == UnixTime(seconds: 1_800_000_000))
    for none in ["alice", "", ":5", "1x:alice", "99999999999999999999:alice"] {
      #expect(TimeLimitedCredential.expiry(ofUsername: Array(none.utf8)) == nil)
    }
  }

  @Test("Equal seeds give equal sequences, other seeds other ones, and draws stay below their bound")
  func generator() {
    var a = SeededGenerator(seed: [1])
    var b = SeededGenerator(seed: [1])
    var c = SeededGenerator(seed: [2])
    let first = (0..<100).map { _ in a.next() }
    let second = (0..<100).map { _ in b.next() }
    let third = (0..<100).map { _ in c.next() }
    #expect(first == second)
    #expect(first != third)
    for bound in [UInt64(1), 2, 3, 1000, .max] {
      for _ in 0..<100 {
        let draw = a.next(below: bound)
        #expect(draw < bound)
      }
    }
    #expect(Set(SecureRandom.bytes(64)).count > 20)
  }

  @Test("Digests compare by content and are wiped")
  func digests() throws {
    var one = try #require(Digest([1, 2, 3]))
    let two = try #require(Digest([1, 2, 3]))
    #expect(one == two)
    #expect(Digest([1, 2]) != two)
    #expect(Digest([]) == nil)
    #expect(Digest([UInt8](repeating: 1, count: 33)) == nil)
    one.wipe()
    #expect(one.array == [0, 0, 0])
  }
}
