public import JSON

/// The forms of values in reports.
extension JSONValue {
  public static func record(_ members: [(String, JSONValue)]) -> JSONValue {
    .object(members.map { Member($0.0, $0.1) })
  }

  public static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
  public static func strings(_ texts: [String]) -> JSONValue { .array(texts.map(JSONValue.string)) }
  public static func whole(_ value: some BinaryInteger) -> JSONValue { .integer(Int64(clamping: value)) }

  /// Nanoseconds as milliseconds with three decimals.
  public static func milliseconds(_ nanoseconds: UInt64) -> JSONValue {
    .double(Double(nanoseconds / 1000 + (nanoseconds % 1000 >= 500 ? 1 : 0)) / 1000)
  }
}
