extension String {
  /// The text with a question mark for each control character, so that text from a server cannot control a terminal.
  public var withoutControls: String {
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      result.append(scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : scalar)
    }
    return String(result)
  }
}
