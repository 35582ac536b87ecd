extension Unicode.Scalar {
  /// Characters without a glyph, which can end a line, move a terminal's cursor or reorder the text around them:
  /// controls, format characters (bidirectional overrides and isolates, zero-width ones, the byte order mark), line and
  /// paragraph separators, private and unassigned ones.
  public var isInvisible: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: true
    default: false
    }
  }
}

extension String {
  /// This JSON text with its invisible characters escaped. They can only be in strings, and jansson has escaped those
  /// below U+0020 already.
  var withoutInvisible: String {
    if utf8.allSatisfy({ $0 < 0x7F }) { return self }
    var result = ""
    for scalar in unicodeScalars {
      guard scalar.isInvisible else {
        result.unicodeScalars.append(scalar)
        continue
      }
      // JSON has four digits; a character beyond U+FFFF is written as its surrogate pair (RFC 8259 section 7).
      for unit in String(scalar).utf16 {
        let digits = String(unit, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return result
  }
}
