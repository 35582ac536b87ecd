internal import StringPreparation
internal import Testing

@Suite("Characters at the ends of a text")
struct DeceptiveEdgesTests {
  @Test(
    "Each easily overlooked character is described",
    arguments: [
      ("secret", nil), ("", nil), ("two words", nil), ("\"", nil), ("it's", nil), ("\"a' ", "ends with a space"),
      ("\"secret\"", "is in quotation marks"), ("'secret'", "is in quotation marks"),
      ("\"\"", "is in quotation marks"),
      ("secret\n", "ends with a line break"), ("secret\r\n", "ends with a line break"),
      ("one\ntwo", "has more than one line"),
      ("secret ", "ends with a space"), ("secret\t", "ends with a space"), ("secret\u{A0}", "ends with a space"),
      (" secret", "begins with a space"),
      ("\u{FEFF}secret", "begins with a byte order mark"),
    ] as [(String, String?)])
  func described(text: String, words: String?) { #expect(DeceptiveEdges.describe(text) == words) }
}
