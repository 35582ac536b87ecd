/// Finds characters that are easily overlooked at the ends of a password, secret or name from a file, a variable or a
/// command line, although they are part of it.
public enum DeceptiveEdges {
  /// The end of a sentence that begins with "the value", such as `ends with a line break`; nil without such a
  /// character.
  public static func describe(_ text: String) -> String? {
    let scalars = text.unicodeScalars
    guard let first = scalars.first, let last = scalars.last else { return nil }
    if first == "\u{FEFF}" { return "begins with a byte order mark" }
    if scalars.count > 1, first == last, first == "\"" || first == "'" { return "is in quotation marks" }
    if isLineBreak(last) { return "ends with a line break" }
    if scalars.contains(where: isLineBreak) { return "has more than one line" }
    if first.properties.isWhitespace { return "begins with a space" }
    if last.properties.isWhitespace { return "ends with a space" }
    return nil
  }

  private static func isLineBreak(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\r" }
}
