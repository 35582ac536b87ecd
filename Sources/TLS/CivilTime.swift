/// Dates as text, for messages about certificates.
public enum CivilTime {
  /// `2026-11-21 12:43:00 UTC` of seconds since 1970 (proleptic Gregorian calendar, no leap seconds).
  ///
  /// Years beyond the range of certificates by far (35 million) are cut to it.
  public static func text(unixSeconds: Int64) -> String {
    let unixSeconds = min(max(unixSeconds, -1 << 50), 1 << 50)
    let (year, month, day) = date(daysSince1970: floorDivide(unixSeconds, 86_400))
    let second = unixSeconds - floorDivide(unixSeconds, 86_400) * 86_400
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2)) "
      + "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)) UTC"
  }

  private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a / b - (a % b < 0 ? 1 : 0) }

  private static func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(width - digits.count, 0)) + digits
  }

  /// Counts in eras of 400 years that begin in March, so that the leap day is the last of its year.
  private static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }
}
