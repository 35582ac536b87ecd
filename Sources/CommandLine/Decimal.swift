internal import NetworkTypes

/// Numbers as text, for people and for JSON.
public enum Decimal {
  /// `value` in units of 10^-decimals, without trailing zeros: `text(1250, 3)` is `1.25`.
  public static func text(_ value: UInt64, _ decimals: Int) -> String {
    var digits = String(value)
    guard decimals > 0 else { return digits }
    if digits.utf8.count <= decimals {
      digits = String(repeating: "0", count: decimals + 1 - digits.utf8.count) + digits
    }
    var fraction = digits.suffix(decimals)
    while fraction.hasSuffix("0") { fraction = fraction.dropLast() }
    let whole = digits.dropLast(decimals)
    return fraction.isEmpty ? String(whole) : "\(whole).\(fraction)"
  }

  /// `value` in units of 10^-decimals, with its trailing zeros: `fixed(1250, 3)` is `1.250`.
  public static func fixed(_ value: UInt64, _ decimals: Int) -> String {
    var digits = String(value)
    guard decimals > 0 else { return digits }
    digits = String(repeating: "0", count: max(decimals + 1 - digits.utf8.count, 0)) + digits
    return "\(digits.dropLast(decimals)).\(digits.suffix(decimals))"
  }

  /// Milliseconds with up to three decimals: `0.312`.
  public static func milliseconds(_ duration: Duration) -> String {
    let nanoseconds = duration.wholeNanoseconds
    return text(nanoseconds / 1000 + (nanoseconds % 1000 >= 500 ? 1 : 0), 3)
  }
}

extension String {
  /// The text, with spaces after it up to a width.
  public func padded(to width: Int) -> String { self + String(repeating: " ", count: max(width - count, 0)) }
}
