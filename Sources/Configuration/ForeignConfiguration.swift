/// Recognises configuration files of other programs.
enum ForeignConfiguration {
  /// Whether a file is a turnserver.conf: a line has the form `option` or `option=value` with one of coturn's options.
  static func isCoturns(_ bytes: [UInt8]) -> Bool {
    bytes.prefix(65_536).split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }).contains {
      line in
      let name = line.prefix { $0 != UInt8(ascii: "=") }
      // No option with spaces around it is this long.
      guard name.count < 64 else { return false }
      return CoturnOption.isOnlyCoturns(String(String(decoding: name, as: UTF8.self).trimmingSpaces))
    }
  }
}
