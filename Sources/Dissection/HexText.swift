/// Reads hexadecimal text copied from programs and logs: plain, with `0x`, `\x`, colons, commas or braces, and dumps
/// with offsets (`HexDump`).
public enum HexText {
  /// The bytes; nil if the text is not hexadecimal, or has an odd number of digits.
  public static func bytes(_ text: String) -> [UInt8]? { packets(text).map { Array($0.joined()) } }

  /// The packets in the text: more than one only for a dump. Nil as for `bytes`.
  public static func packets(_ text: String) -> [[UInt8]]? {
    if let packets = HexDump.packets(text) { return packets }
    if let bytes = plain(text[...]) { return [bytes] }
    // xxd -i prints a C array: only the text in braces holds bytes.
    guard let open = text.firstIndex(of: "{"), let close = text[open...].firstIndex(of: "}"),
      let bytes = plain(text[open...close])
    else { return nil }
    return [bytes]
  }

  private static func plain(_ text: Substring) -> [UInt8]? {
    var bytes: [UInt8] = []
    for line in text.split(whereSeparator: \.isNewline) {
      guard let more = self.line(line) else { return nil }
      bytes += more
    }
    return bytes.isEmpty ? nil : bytes
  }

  static func line(_ line: Substring) -> [UInt8]? {
    var digits: [UInt8] = []
    var rest = line
    // In a list such as "0x12, 0, 1" a single digit is a byte.
    let isList = rest.contains(",")
    var wordStart = 0
    while let character = rest.first {
      let next = rest.dropFirst().first
      if character == "0" || character == "\\", next == "x" || next == "X" {
        rest = rest.dropFirst(2)
        continue
      }
      rest = rest.dropFirst()
      if isList, character == "," || character == "}" {
        if digits.count == wordStart + 1 { digits.insert(0, at: wordStart) }
        wordStart = digits.count
        continue
      }
      if let value = character.hexDigitValue, character.isASCII {
        digits.append(UInt8(value))
      } else if !character.isWhitespace, !":,-;{}[]\"'\\".contains(character) {
        return nil
      }
    }
    if isList, digits.count == wordStart + 1 { digits.insert(0, at: wordStart) }
    guard digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
