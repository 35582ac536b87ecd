public import JSON
internal import NetworkTypes

/// The forms of values in reports.
extension JSONValue {
  public static func record(_ members: [(String, JSONValue)]) -> JSONValue {
    .object(members.map { Member($0.0, $0.1) })
  }

  /// The text, or null.
  public static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
  public static func strings(_ texts: [String]) -> JSONValue { .array(texts.map(JSONValue.string)) }
  public static func whole(_ value: some BinaryInteger) -> JSONValue { .integer(Int64(clamping: value)) }

  /// Milliseconds with three decimals.
  public static func milliseconds(_ duration: Duration) -> JSONValue {
    let nanoseconds = duration.wholeNanoseconds
    return .double(Double(nanoseconds / 1000 + (nanoseconds % 1000 >= 500 ? 1 : 0)) / 1000)
  }
}
