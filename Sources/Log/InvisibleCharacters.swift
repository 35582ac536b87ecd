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
