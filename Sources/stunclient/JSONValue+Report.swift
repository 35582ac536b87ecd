internal import JSON

/// The shapes that reports are made of.
extension JSONValue {
  static func record(_ members: [(String, JSONValue)]) -> JSONValue {
    .object(members.map { Member($0.0, $0.1) })
  }

  static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
  static func strings(_ texts: [String]) -> JSONValue { .array(texts.map(JSONValue.string)) }
  static func whole(_ value: some BinaryInteger) -> JSONValue { .integer(Int64(clamping: value)) }

  /// Nanoseconds as milliseconds, with microseconds behind the point.
  static func milliseconds(_ nanoseconds: UInt64) -> JSONValue {
    .double(Double(nanoseconds / 1000 + (nanoseconds % 1000 >= 500 ? 1 : 0)) / 1000)
  }
}
