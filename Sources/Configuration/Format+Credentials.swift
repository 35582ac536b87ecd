internal import Crypto
internal import NetworkTypes
internal import System

extension Format where Value == String {
  /// A realm: RFC 8489 section 14.9 allows fewer than 128 characters and at most 763 bytes; a colon would be
  /// ambiguous in the keys (section 18.5.1).
  static var realm: Format {
    scalar(
      "a realm of 1 to 127 characters without colons, quotation marks and control characters",
      example: "example.org",
      parse: { text in
        (1...127).contains(text.unicodeScalars.count) && text.utf8.count <= 763 && !text.hasControls
          && !text.contains { $0 == ":" || $0 == "\"" || $0 == "\\" } ? text : nil
      },
      write: { .text($0) })
  }

  /// A user's name: at most 508 bytes (RFC 8489 section 14.3), and no control characters.
  static var userName: Format {
    scalar(
      "a user name of 1 to 508 bytes without control characters", example: "alice",
      parse: { (1...508).contains($0.utf8.count) && !$0.hasControls ? $0 : nil }, write: { .text($0) })
  }
}

extension Format where Value == [String: String] {
  /// Static users: name to password.
  static var users: Format { .map(.userName, .secret("a password")) }
}

extension Format where Value == [UInt8] {
  /// Key material in Base64.
  static var keyBytes: Format {
    scalar(
      "a key in Base64 (with its padding)", example: "file:/run/secrets/oauth-key", isSecret: true,
      parse: { text in
        guard let bytes = Base64.decode(text), bytes.count == 16 || bytes.count == 32 else { return nil }
        return bytes
      }, write: { .text(Base64.encode($0)) })
  }
}

extension Format where Value == UnixTime? {
  /// Seconds since 1970, or `2027-01-31T12:00:00Z`.
  static var timestamp: Format {
    scalar(
      "a time: seconds since 1970, or YYYY-MM-DDThh:mm:ssZ", example: "2030-01-31T00:00:00Z",
      parse: { text in time(text).map { .some($0) } },
      write: { $0.map { .plain("\($0)") } ?? .omitted })
  }

  private static func time(_ text: String) -> UnixTime? {
    if let seconds = UInt64(decimalDigits: text) { return UnixTime(clamping: seconds) }
    guard let time = CivilTime.time(text), time >= .epoch else { return nil }
    return time
  }
}

extension Settings.OAuthKey {
  /// The initial record, before its keys are read.
  static var empty: Settings.OAuthKey { Settings.OAuthKey(id: "", key: [], algorithm: .a256gcm, notAfter: nil) }

  /// The first missing or contradictory part, and a correction.
  var wrong: (message: String, suggestion: String)? {
    if id.isEmpty { return ("has no id", "write id: NAME") }
    if key.isEmpty { return ("has no key", "write key: BASE64, or key: file:PATH") }
    let size = algorithm == .a256gcm ? 32 : 16
    if key.count != size {
      return ("has a key of \(key.count) bytes", "\(algorithm.rawValue) takes \(size) bytes")
    }
    return nil
  }
}

extension Format {
  /// The format with an additional check of the value.
  func checked(_ wrong: @escaping (Value) -> (message: String, suggestion: String)?) -> Format {
    var copy = self
    copy.read = { raw, context in
      guard let value = read(raw, &context) else { return nil }
      if let wrong = wrong(value) {
        context.report(raw.origin, wrong.message, suggestion: wrong.suggestion)
        return nil
      }
      return value
    }
    return copy
  }

  /// The format of an optional key; nil means `fallback`.
  func optional(_ fallback: Value) -> Format<Value?> {
    Format<Value?>(
      expectation: expectation, example: example, isSecret: isSecret, inlineYAML: inlineYAML,
      read: { raw, context in read(raw, &context).map { .some($0) } }, write: { write($0 ?? fallback) })
  }
}
