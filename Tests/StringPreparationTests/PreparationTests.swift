internal import Testing
@testable internal import StringPreparation

@Suite("Preparation of names and passwords")
struct PreparationTests {
  /// RFC 4013 section 3, and the password of RFC 5769 section 2.4.
  @Test(
    "SASLprep follows the examples of RFC 4013",
    arguments: [
      ("I\u{AD}X", "IX"), ("user", "user"), ("USER", "USER"), ("\u{AA}", "a"), ("\u{2168}", "IX"),
      ("The\u{AD}M\u{AA}tr\u{2168}", "TheMatrIX"), ("マトリックス", "マトリックス"), ("a\u{A0}b", "a b"),
      ("e\u{301}", "é"), ("😀", "😀"),
    ])
  func saslprep(input: String, output: String) throws {
    #expect(try SASLprep.prepare(Array(input.utf8)) == Array(output.utf8))
  }

  @Test(
    "SASLprep refuses the strings that RFC 4013 forbids",
    arguments: [
      ("\u{7}", PreparationError.forbiddenCharacter), ("\u{627}1", .mixedDirections), ("", .empty), ("\u{AD}", .empty),
      ("a\u{0}b", .forbidden(0)), ("\u{E000}", .forbiddenCharacter),
    ])
  func saslprepRefuses(input: String, error: PreparationError) {
    #expect(throws: error) { try SASLprep.prepare(Array(input.utf8)) }
  }

  /// RFC 8265 section 4.3, table 3.
  @Test(
    "OpaqueString follows the examples of RFC 8265",
    arguments: [
      ("correct horse battery staple", "correct horse battery staple"),
      ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
      ("πßå", "πßå"), ("Jack of ♦s", "Jack of ♦s"), ("foo\u{1680}bar", "foo bar"), ("a\u{A0}b", "a b"),
      ("e\u{301}", "é"), ("\u{2168}", "\u{2168}"), ("\u{AA}", "\u{AA}"), ("\u{FF21}", "\u{FF21}"),
      ("\u{212B}", "\u{C5}"), ("l\u{B7}l", "l\u{B7}l"),
      ("\u{915}\u{94D}\u{200D}\u{937}", "\u{915}\u{94D}\u{200D}\u{937}"),
      ("ア\u{30FB}", "ア\u{30FB}"), ("\u{5D0}\u{5F3}", "\u{5D0}\u{5F3}"), ("\u{375}α", "\u{375}α"),
      ("\u{627}1", "\u{627}1"),
      ("\u{628}\u{200C}\u{628}", "\u{628}\u{200C}\u{628}"), ("\u{661}\u{662}", "\u{661}\u{662}"),
    ])
  func opaqueString(input: String, output: String) throws {
    #expect(try OpaqueString.prepare(Array(input.utf8)) == Array(output.utf8))
  }

  @Test(
    "OpaqueString refuses characters outside the FreeformClass",
    arguments: [
      ("", PreparationError.empty), ("my cat is a \tby", .forbidden(9)), ("a\u{0}", .forbidden(0)),
      ("\u{7F}", .forbidden(0x7F)),
      ("a\u{AD}", .forbidden(0xAD)), ("\u{200B}", .forbidden(0x200B)), ("a\u{200D}b", .forbidden(0x200D)),
      ("a\u{200C}b", .forbidden(0x200C)), ("a\u{B7}b", .forbidden(0xB7)), ("x\u{30FB}", .forbidden(0x30FB)),
      ("\u{375}a", .forbidden(0x375)), ("a\u{5F3}", .forbidden(0x5F3)), ("\u{661}\u{6F1}", .forbidden(0x661)),
      ("\u{1100}", .forbidden(0x1100)), ("\u{640}", .forbidden(0x640)), ("\u{E000}", .forbidden(0xE000)),
      ("\u{FFFF}", .forbidden(0xFFFF)), ("a\u{387}", .forbidden(0xB7)), ("\u{202E}x", .forbidden(0x202E)),
      ("\u{85}", .forbidden(0x85)),
    ])
  func opaqueStringRefuses(input: String, error: PreparationError) {
    #expect(throws: error) { try OpaqueString.prepare(Array(input.utf8)) }
  }

  @Test("Both profiles refuse bytes that are not UTF-8, and too long text")
  func hostileBytes() {
    for bytes in [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80]] as [[UInt8]] {
      #expect(throws: PreparationError.notUTF8) { try SASLprep.prepare(bytes) }
      #expect(throws: PreparationError.notUTF8) { try OpaqueString.prepare(bytes) }
    }
    let long = Array(String(repeating: "é", count: 1025).utf8)
    #expect(throws: PreparationError.tooLong) { try SASLprep.prepare(long) }
    #expect(throws: PreparationError.tooLong) { try OpaqueString.prepare(long) }
  }

  @Test("100,000 seeded strings are prepared or refused, and never trap")
  func mutations() {
    let pieces: [[UInt8]] = ["alice", "マトリックス", "a\u{AD}b", "\u{FB03}", "\u{1E9B}\u{323}", "\u{5D0}1", "\u{202E}"].map {
      Array($0.utf8)
    }
    var state: UInt64 = 0x7457_6E70_696B_6521
    func next(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    var prepared = 0
    for _ in 0..<100_000 {
      var bytes: [UInt8] = []
      for _ in 0...next(4) {
        bytes += next(3) == 0 ? (0..<next(6)).map { _ in UInt8(next(256)) } : pieces[Int(next(UInt64(pieces.count)))]
      }
      if next(4) == 0, !bytes.isEmpty { bytes.remove(at: Int(next(UInt64(bytes.count)))) }
      let saslprep = try? SASLprep.prepare(bytes)
      let opaque = try? OpaqueString.prepare(bytes)
      if saslprep != nil || opaque != nil { prepared += 1 }
    }
    // Random bytes would be refused at the first byte, so many inputs must be valid.
    #expect(prepared > 10_000)
  }

  @Test("Preparing a prepared string changes nothing")
  func idempotence() throws {
    for value in UInt32(0xA1)...0x2FFF {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let bytes = Array(String(scalar).utf8)
      if let once = try? OpaqueString.prepare(bytes) { #expect(try OpaqueString.prepare(once) == once) }
    }
  }
}
