internal import NetworkTypes
internal import StringPreparation

/// The format of values of one type: reads text and reports every error, and writes the effective configuration.
struct Format<Value> {
  /// The expected value with its range: `a duration from 1s to 24h`.
  var expectation: String
  /// A valid example.
  var example: String
  /// Whether values are secret: messages never quote them, and the effective configuration does not contain them.
  var isSecret = false
  /// Whether the environment and `--set` may give the value as YAML.
  var inlineYAML = InlineYAML.never
  /// Reads the value; nil after the problem has been reported.
  var read: (RawValue, inout ReadingContext) -> Value?
  var write: (Value) -> YAMLOutput

  /// The suggestion for a wrong value.
  var advice: String { "write, for example, \(example)" }
}

/// The form of a value in the environment and in `--set`.
enum InlineYAML {
  /// Text: a single value.
  case never
  /// A list or map that begins with its bracket, as in the file; otherwise separated by commas.
  case bracketed
  /// Always YAML: lists and maps of records.
  case always
}

extension Format {
  /// A format of single values. `parse` returns nil for an invalid text; `nearest` may return a correction.
  static func scalar(
    _ expectation: String, example: String, isSecret: Bool = false,
    nearest: @escaping (String) -> String? = { _ in nil },
    parse: @escaping (String) -> Value?, write: @escaping (Value) -> YAMLOutput
  ) -> Format {
    let advice = "write, for example, \(example)"
    return Format(
      expectation: expectation, example: example, isSecret: isSecret,
      read: { raw, context in
        guard let text = raw.scalarText else {
          context.report(raw.origin, "takes one value, not \(raw.kind): \(expectation)", suggestion: advice)
          return nil
        }
        guard let resolved = context.resolve(text, at: raw.origin) else { return nil }
        if isSecret, resolved.contains(YAMLOutput.redaction) {
          context.report(
            raw.origin, "has \(YAMLOutput.redaction), which turnpike check prints in place of a secret",
            suggestion: "write the secret, file:PATH or env:NAME; or print it with turnpike check --show-secrets")
          return nil
        }
        guard let value = parse(resolved) else {
          context.report(
            raw.origin, "\(isSecret ? "the value" : resolved.quoted) is not \(expectation)",
            suggestion: nearest(resolved).map { "did you mean \($0)?" } ?? advice)
          return nil
        }
        return value
      },
      write: { isSecret ? .secret(write($0).scalarText) : write($0) })
  }
}

extension RawValue {
  /// The text of a single value.
  var scalarText: String? {
    switch content {
    case .scalar(let text), .inline(let text): text
    case .null, .list, .map: nil
    }
  }
}

extension Format where Value == String {
  /// Text of `bytes` UTF-8 bytes, without control characters.
  static func text(_ name: String, bytes: ClosedRange<Int>, example: String) -> Format {
    let bound = bytes.lowerBound == 0 ? "up to" : "\(bytes.lowerBound) to"
    return scalar(
      "\(name) of \(bound) \(bytes.upperBound) bytes without control characters", example: example,
      parse: { bytes.contains($0.utf8.count) && !$0.hasControls ? $0 : nil }, write: { .text($0) })
  }

  /// The origin of web pages, as browsers send it (RFC 6454 section 6.1).
  static var origin: Format {
    scalar(
      "the origin of web pages", example: "https://app.example.org",
      nearest: { $0 == "*" ? "a list of origins (with * every page could try tokens)" : nil },
      parse: { isOrigin($0) ? $0 : nil }, write: { .text($0) })
  }

  private static func isOrigin(_ text: String) -> Bool {
    guard text.utf8.count <= 255, let scheme = ["https://", "http://"].first(where: text.hasPrefix) else {
      return false
    }
    let host = text.dropFirst(scheme.count)
    let allowed = Array("abcdefghijklmnopqrstuvwxyz0123456789-.:[]")
    return !host.isEmpty && host.allSatisfy(allowed.contains)
  }

  /// The path of a file or directory.
  static func path(example: String) -> Format {
    scalar(
      "a path", example: example,
      nearest: { $0.contains("-----BEGIN") ? "the path of that file, without file: before it" : nil },
      parse: { $0.utf8.count < 4096 && !$0.hasControls ? $0 : nil }, write: { .text($0) })
  }

  /// A password, secret or token: any text, not empty unless empty means none.
  static func secret(_ name: String, mayBeEmpty: Bool = false) -> Format {
    scalar(
      "\(name) of \(mayBeEmpty ? "up to" : "1 to") 1024 bytes", example: "file:/run/secrets/turnpike", isSecret: true,
      parse: { (mayBeEmpty || !$0.isEmpty) && $0.utf8.count <= 1024 ? $0 : nil }, write: { .text($0) }
    ).replacingWrite { $0.isEmpty ? .text("") : .secret($0) }
  }

  /// The URI of a credential store; empty: none.
  static var store: Format {
    let schemes = ["sqlite:", "redis://", "rediss://", "postgresql://", "postgres://"]
    return scalar(
      "a store (sqlite:PATH, redis://…, postgresql://…, or \"\" for none)", example: "sqlite:turnpike.db",
      isSecret: true,
      nearest: { text in
        let scheme = text.prefix(while: { $0 != ":" })
        return NearestWord.find(String(scheme), among: ["sqlite", "redis", "postgresql"]).map { $0 + ":…" }
      },
      parse: { text in
        guard !text.hasControls, text.utf8.count < 4096 else { return nil }
        return text.isEmpty || schemes.contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count } ? text : nil
      },
      write: { .text($0) }
    ).replacingWrite { uri in
      let shown = redactingUserInfo(uri)
      return shown == uri ? .text(uri) : .secret(uri, shown: shown)
    }
  }

  /// `redis://user:password@host` without the part before the `@`.
  private static func redactingUserInfo(_ uri: String) -> String {
    guard !uri.hasPrefix("sqlite:"), let at = uri.lastIndex(of: "@"), let slashes = uri.firstRange(of: "://"),
      slashes.upperBound <= at
    else { return uri }
    return uri[..<slashes.upperBound] + YAMLOutput.redaction + uri[at...]
  }
}

extension Format where Value == Bool {
  static var boolean: Format {
    scalar(
      "true or false", example: "true",
      nearest: { text in
        switch text.lowercased() {
        case "yes", "on", "y", "1", "enabled", "true": "true"
        case "no", "off", "n", "0", "disabled", "false": "false"
        default: NearestWord.find(text, among: ["true", "false"])
        }
      },
      parse: { $0 == "true" ? true : $0 == "false" ? false : nil }, write: { .plain($0 ? "true" : "false") })
  }
}

extension Format where Value: FixedWidthInteger {
  static func integer(_ range: ClosedRange<Value>, example: Value, zero meaning: String? = nil) -> Format {
    scalar(
      "a whole number from \(range.lowerBound) to \(range.upperBound)" + (meaning.map { " (0: \($0))" } ?? ""),
      example: String(example), parse: { Value(decimalDigits: $0).flatMap { range.contains($0) ? $0 : nil } },
      write: { .plain(String($0)) })
  }
}

extension Format where Value == Duration {
  /// Seconds, `90s`, `10m` or `1h`, up to 24 h.
  static func duration(from least: UInt32 = 1) -> Format {
    scalar(
      "a duration from \(least)s to 24h (seconds, or with s, m, h or d)", example: "10m",
      nearest: { text in
        // Other programs often use milliseconds.
        guard let number = UInt32(decimalDigits: text), number % 1000 == 0, (least...86400).contains(number / 1000)
        else { return nil }
        return "\(number / 1000)s (a number alone is seconds)"
      },
      parse: { text in
        let units: [Character: UInt32] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let unit = text.last.flatMap { units[$0] }
        guard let number = UInt32(decimalDigits: unit == nil ? text[...] : text.dropLast()) else { return nil }
        let (seconds, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        return !overflow && (least...86400).contains(seconds) ? .seconds(seconds) : nil
      },
      write: { duration in
        let seconds = duration.wholeSeconds
        if seconds > 0, seconds % 3600 == 0 { return .plain("\(seconds / 3600)h") }
        if seconds > 0, seconds % 60 == 0 { return .plain("\(seconds / 60)m") }
        return .plain("\(seconds)s")
      })
  }
}

extension Format where Value == ByteRate {
  /// Bytes a second, or `64k`, `2M`, `1G` (decimal).
  static var rate: Format {
    bytes(
      "a rate in bytes a second (a number, or with k, M or G; 0: no limit)", from: 0, example: "64k",
      make: { .bytesPerSecond($0) }, number: { $0.perSecond.rawValue })
  }
}

extension Format where Value == ByteCount {
  /// An amount of memory, from 1 MB on.
  static var size: Format {
    bytes(
      "a size in bytes from 1M on (a number, or with k, M or G)", from: 1_000_000, example: "32M",
      make: { .bytes($0) }, number: \.rawValue)
  }
}

extension Format {
  /// A format of byte counts. Its limit, a terabyte, exceeds any interface and memory, and prevents overflows of sums.
  fileprivate static func bytes(
    _ expectation: String, from least: UInt64, example: String,
    make: @escaping (UInt64) -> Value, number: @escaping (Value) -> UInt64
  ) -> Format {
    scalar(
      expectation, example: example,
      parse: { text in
        let units: [Character: UInt64] = ["k": 1000, "M": 1_000_000, "G": 1_000_000_000]
        let unit = text.last.flatMap { units[$0] }
        guard let number = UInt64(decimalDigits: unit == nil ? text[...] : text.dropLast()) else { return nil }
        let (count, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        return !overflow && (least...1_000_000_000_000).contains(count) ? make(count) : nil
      },
      write: { value in
        let count = number(value)
        for (unit, size) in [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000)] as [(String, UInt64)]
        where count > 0 && count % size == 0 {
          return .plain("\(count / size)\(unit)")
        }
        return .plain(String(count))
      })
  }
}

extension Format where Value: RawRepresentable & CaseIterable & Equatable, Value.RawValue == String {
  /// One of a few words, which are the raw values.
  static var choice: Format { .choice(\.rawValue) }
}

extension Format where Value: CaseIterable & Equatable {
  /// One of a few words.
  ///
  /// - Parameter word: the word for a value.
  static func choice(_ word: @escaping (Value) -> String) -> Format {
    let words = Value.allCases.map(word)
    return scalar(
      "one of \(words.joined(separator: ", "))", example: words.first ?? "",
      nearest: { NearestWord.find($0, among: words) },
      parse: { text in Value.allCases.first { word($0) == text } },
      write: { words.allSatisfy { $0.first?.isLetter == true } ? .plain(word($0)) : .text(word($0)) })
  }
}

extension Format {
  /// The format in which `auto` is nil: the program chooses the value.
  ///
  /// - Parameter meaning: the basis of the choice.
  func orAutomatic(_ meaning: String) -> Format<Value?> {
    let other = self
    return Format<Value?>(
      expectation: "auto (\(meaning)), or \(expectation)", example: example, isSecret: isSecret, inlineYAML: inlineYAML,
      read: { raw, context in
        if raw.scalarText == "auto" { return .some(nil) }
        return other.read(raw, &context).map { .some($0) }
      },
      write: { value in value.map(other.write) ?? .plain("auto") })
  }

  func replacingWrite(_ write: @escaping (Value) -> YAMLOutput) -> Format {
    var copy = self
    copy.write = write
    return copy
  }
}

extension String {
  var hasControls: Bool { unicodeScalars.contains { $0.properties.generalCategory == .control } }
}
