internal import JSON

/// The value of a log field: text, or a number, which JSON writes without quotation marks.
///
/// Literals, with and without interpolation, are text.
public enum LogValue: Sendable, Equatable, ExpressibleByStringInterpolation {
  case text(String)
  case signed(Int64)
  case unsigned(UInt64)

  public init(stringLiteral value: String) { self = .text(value) }

  /// Any whole number, clamped to 64 bits.
  public static func number(_ value: some BinaryInteger) -> LogValue {
    value < 0 ? .signed(Int64(clamping: value)) : .unsigned(UInt64(clamping: value))
  }

  /// The value for a line of JSON, whose numbers have 63 bits and a sign.
  var json: JSONValue {
    switch self {
    case .text(let text): .string(text)
    case .signed(let number): .integer(number)
    case .unsigned(let number): .integer(Int64(clamping: number))
    }
  }

  /// The value without escapes.
  var description: String {
    switch self {
    case .text(let text): text
    case .signed(let number): String(number)
    case .unsigned(let number): String(number)
    }
  }
}
