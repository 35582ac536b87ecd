internal import NetworkTypes

/// How values of one type are written in a configuration: read from text with everything that can be wrong told,
/// and written back for the effective configuration.
struct Format<Value> {
  /// What is expected, with its range: `a duration from 1s to 24h`.
  var expectation: String
  /// A value that would be right.
  var example: String
  /// Values are never quoted in messages nor written to the effective configuration.
  var isSecret = false
  /// The value, or nil once the problem has been reported.
  var read: (RawValue, inout ReadingContext) -> Value?
  var write: (Value) -> YAMLOutput

  /// What to write instead of something wrong.
  var advice: String { "write, for example, \(example)" }
}

extension Format {
  /// A format of single values. `parse` gives nil for what is no such value; `nearest` may know what was meant.
  static func scalar(
    _ expectation: String, example: String, isSecret: Bool = false, nearest: @escaping (String) -> String? = { _ in nil },
    parse: @escaping (String) -> Value?, write: @escaping (Value) -> YAMLOutput
  ) -> Format {
    let advice = "write, for example, \(example)"
    return Format(
      expectation: expectation, example: example, isSecret: isSecret,
      read: { raw, context in
        guard let text = raw.scalarText else {
          context.report(raw.origin, "\(raw.kind) instead of \(expectation)", suggestion: advice)
          return nil
        }
        guard let resolved = context.resolve(text, at: raw.origin) else { return nil }
        guard let value = parse(resolved) else {
          context.report(
            raw.origin, "\(isSecret ? "the value" : resolved.quoted) is not \(expectation)",
            suggestion: nearest(resolved).map { "did you mean \($0)?" } ?? advice)
          return nil
        }
        return value
      },
      write: { isSecret ? .redacted : write($0) })
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

  /// The path of a file or directory.
  static func path(example: String) -> Format {
    scalar(
      "a path", example: example,
      nearest: { $0.contains("-----BEGIN") ? "the path of that file, without file: before it" : nil },
      parse: { $0.utf8.count < 4096 && !$0.hasControls ? $0 : nil }, write: { .text($0) })
  }

  /// A password, secret or token: any text that is not empty (or also empty, where that means none).
  static func secret(_ name: String, mayBeEmpty: Bool = false) -> Format {
    scalar(
      "\(name) of \(mayBeEmpty ? "up to" : "1 to") 1024 bytes", example: "file:/run/secrets/turnpike", isSecret: true,
      parse: { (mayBeEmpty || !$0.isEmpty) && $0.utf8.count <= 1024 ? $0 : nil }, write: { .text($0) }
    ).replacingWrite { $0.isEmpty ? .text("") : .redacted }
  }

  /// The URI of a credential store; empty: none.
  static var store: Format {
    let schemes = ["sqlite:", "redis://", "rediss://", "postgresql://", "postgres://"]
    return scalar(
      "a store (sqlite:PATH, redis://…, postgresql://…, or \"\" for none)", example: "sqlite:turnpike.db", isSecret: true,
      nearest: { text in
        let scheme = text.prefix(while: { $0 != ":" })
        return NearestWord.find(String(scheme), among: ["sqlite", "redis", "postgresql"]).map { $0 + ":…" }
      },
      parse: { text in
        guard !text.hasControls, text.utf8.count < 4096 else { return nil }
        return text.isEmpty || schemes.contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count } ? text : nil
      },
      write: { .text($0) }
    ).replacingWrite { .text(redactingUserInfo($0)) }
  }

  /// `redis://user:password@host` without what stands before the `@`.
  private static func redactingUserInfo(_ uri: String) -> String {
    guard !uri.hasPrefix("sqlite:"), let at = uri.lastIndex(of: "@"), let slashes = uri.firstRange(of: "://"),
      slashes.upperBound <= at
    else { return uri }
    return uri[..<slashes.upperBound] + "<redacted>" + uri[at...]
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

extension Format where Value == UInt32 {
  /// Seconds, `90s`, `10m` or `1h`, up to 24 h.
  static func duration(from least: UInt32 = 1) -> Format {
    scalar(
      "a duration from \(least)s to 24h (seconds, or with s, m or h)", example: "10m",
      parse: { text in
        let units: [Character: UInt32] = ["s": 1, "m": 60, "h": 3600]
        let unit = text.last.flatMap { units[$0] }
        guard let number = UInt32(decimalDigits: unit == nil ? text[...] : text.dropLast()) else { return nil }
        let (seconds, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        return !overflow && (least...86400).contains(seconds) ? seconds : nil
      },
      write: { seconds in
        if seconds > 0, seconds % 3600 == 0 { return .plain("\(seconds / 3600)h") }
        if seconds > 0, seconds % 60 == 0 { return .plain("\(seconds / 60)m") }
        return .plain("\(seconds)s")
      })
  }
}

extension Format where Value == UInt64 {
  /// Bytes a second, or `64k`, `2M`, `1G` (decimal).
  static var rate: Format {
    scalar(
      "a rate in bytes a second (a number, or with k, M or G; 0: no limit)", example: "64k",
      parse: { text in
        let units: [Character: UInt64] = ["k": 1000, "M": 1_000_000, "G": 1_000_000_000]
        let unit = text.last.flatMap { units[$0] }
        guard let number = UInt64(decimalDigits: unit == nil ? text[...] : text.dropLast()) else { return nil }
        let (rate, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        // A terabyte a second is beyond any interface; the bound keeps sums of rates from overflowing.
        return !overflow && rate <= 1_000_000_000_000 ? rate : nil
      },
      write: { rate in
        for (unit, size) in [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000)] as [(String, UInt64)]
        where rate > 0 && rate % size == 0 {
          return .plain("\(rate / size)\(unit)")
        }
        return .plain(String(rate))
      })
  }
}

extension Format where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  /// One of a few words.
  static var choice: Format {
    let words = Value.allCases.map(\.rawValue)
    return scalar(
      "one of \(words.joined(separator: ", "))", example: words.first ?? "",
      nearest: { NearestWord.find($0, among: words) }, parse: { Value(rawValue: $0) },
      write: { words.allSatisfy { $0.first?.isLetter == true } ? .plain($0.rawValue) : .text($0.rawValue) })
  }
}

extension Format {
  func replacingWrite(_ write: @escaping (Value) -> YAMLOutput) -> Format {
    var copy = self
    copy.write = write
    return copy
  }
}

extension String {
  var hasControls: Bool { unicodeScalars.contains { $0.properties.generalCategory == .control } }
}
