/// Bytes that people have copied from somewhere: plain hexadecimal, `0x`, `\x`, colons, commas, braces, and the dumps
/// of xxd, hexdump -C and tcpdump -x.
public enum HexText {
  /// The bytes; nil where the text is no hexadecimal, or has half a byte.
  public static func bytes(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    for line in text.split(whereSeparator: \.isNewline) {
      // hexdump -C ends with the length alone.
      if !bytes.isEmpty, line.count == 8, Int(line, radix: 16) == bytes.count { continue }
      guard let more = self.line(line) else { return nil }
      bytes += more
    }
    return bytes.isEmpty ? nil : bytes
  }

  private static func line(_ line: Substring) -> [UInt8]? {
    var digits: [UInt8] = []
    var rest = withoutFrame(line)
    // In a list "0x12, 0, 1" a digit alone is a byte.
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
      } else if !character.isWhitespace, !":,-;{}[]\"'".contains(character) {
        return nil
      }
    }
    if isList, digits.count == wordStart + 1 { digits.insert(0, at: wordStart) }
    guard digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  /// Without a dump's offset at the front and its characters at the end.
  private static func withoutFrame(_ line: Substring) -> Substring {
    var body = line
    while body.first?.isWhitespace == true { body = body.dropFirst() }
    let word = body.prefix { !$0.isWhitespace }
    let rest = body.dropFirst(word.count)
    if word.hasSuffix(":"), word.dropLast().allSatisfy({ $0.isHexDigit || $0 == "x" }), !rest.isEmpty {
      // xxd and tcpdump: "00000000: 0001 0000  .." (two spaces before the characters).
      return withoutCharacters(rest.drop { $0.isWhitespace })
    }
    if word.count == 8, word.allSatisfy(\.isHexDigit), rest.hasPrefix("  ") {
      // hexdump -C: "00000000  00 01 00 00  21 12 a4 42  |....!..B|".
      return rest.prefix { $0 != "|" }
    }
    return body
  }

  private static func withoutCharacters(_ text: Substring) -> Substring {
    var previousWasSpace = false
    for index in text.indices {
      let isSpace = text[index].isWhitespace
      if isSpace, previousWasSpace { return text[..<index] }
      previousWasSpace = isSpace
    }
    return text
  }
}
