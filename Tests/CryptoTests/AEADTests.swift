import Crypto
import Testing

@Suite("AES-GCM")
struct AEADTests {
  static let zeroNonce = [UInt8](repeating: 0, count: 12)

  /// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 1, 2, 13 and 14: key, text and nonce all zero.
  @Test(
    "Sealing and opening match the published vectors",
    arguments: [
      (16, 0, "58e2fccefa7e3061367f1d57a4e7455a"),
      (16, 16, "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"),
      (32, 0, "530f8afbc74536b9a963b4f1c4cb738b"),
      (32, 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    ])
  func vectors(keyCount: Int, textCount: Int, sealed: String) throws {
    let key = [UInt8](repeating: 0, count: keyCount)
    let text = [UInt8](repeating: 0, count: textCount)
    let result = try #require(AEAD.seal(text, key: key, nonce: Self.zeroNonce))
    #expect(result.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == sealed)
    #expect(AEAD.open(result, key: key, nonce: Self.zeroNonce) == text)
  }

  @Test("Opening fails after one changed bit in text, tag, nonce, key or associated data")
  func tampering() throws {
    let key = [UInt8](1...32)
    let nonce = [UInt8](1...12)
    let sealed = try #require(AEAD.seal([1, 2, 3, 4], key: key, nonce: nonce, associatedData: [9, 9]))
    #expect(AEAD.open(sealed, key: key, nonce: nonce, associatedData: [9, 9]) == [1, 2, 3, 4])
    for bit in 0..<(sealed.count * 8) {
      var changed = sealed
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(AEAD.open(changed, key: key, nonce: nonce, associatedData: [9, 9]) == nil)
    }
    #expect(AEAD.open(sealed, key: key, nonce: nonce, associatedData: [9]) == nil)
    #expect(AEAD.open(sealed, key: key, nonce: nonce.reversed(), associatedData: [9, 9]) == nil)
    #expect(AEAD.open(sealed, key: key.reversed(), nonce: nonce, associatedData: [9, 9]) == nil)
  }

  @Test("A shorter tag is the beginning of the full one, and one below 12 bytes is refused")
  func shortTag() throws {
    let key = [UInt8](1...32)
    let nonce = [UInt8](1...12)
    let sealed = try #require(AEAD.seal([1, 2, 3, 4], key: key, nonce: nonce))
    let short = try #require(AEAD.seal([1, 2, 3, 4], key: key, nonce: nonce, tagByteCount: 12))
    #expect(short == Array(sealed.prefix(16)))
    #expect(AEAD.open(short, key: key, nonce: nonce, tagByteCount: 12) == [1, 2, 3, 4])
    #expect(AEAD.open(short.dropLast() + [short[15] ^ 1], key: key, nonce: nonce, tagByteCount: 12) == nil)
    #expect(AEAD.seal([1], key: key, nonce: nonce, tagByteCount: 11) == nil)
    #expect(AEAD.open(short, key: key, nonce: nonce, tagByteCount: 8) == nil)
  }

  @Test("Keys of a wrong length are refused", arguments: [0, 15, 17, 24, 31, 33])
  func lengths(count: Int) {
    let key = [UInt8](repeating: 1, count: count)
    #expect(AEAD.seal([1], key: key, nonce: Self.zeroNonce) == nil)
    #expect(AEAD.open([UInt8](repeating: 0, count: 20), key: key, nonce: Self.zeroNonce) == nil)
    let good = [UInt8](repeating: 1, count: 16)
    #expect(AEAD.seal([1], key: good, nonce: [UInt8](repeating: 0, count: min(count, 11))) == nil)
    #expect(AEAD.open([UInt8](repeating: 0, count: min(count, 15)), key: good, nonce: Self.zeroNonce) == nil)
  }
}
