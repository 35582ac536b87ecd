internal import CLinux

/// Dates and times of day in UTC, made by libc. If the year has more than four digits, the text is the number of
/// seconds.
public enum CivilTime {
  /// `2026-01-31T12:00:00Z` of seconds since 1970, as RFC 3339 writes it.
  public static func text(unixSeconds: UInt64) -> String {
    guard let (date, clock) = dateAndClock(Int64(clamping: unixSeconds)) else { return "\(unixSeconds)" }
    return "\(date)T\(clock)Z"
  }

  /// `2026-01-31 12:00:00 UTC` of seconds since 1970, for messages about certificates.
  public static func readableText(unixSeconds: Int64) -> String {
    guard let (date, clock) = dateAndClock(unixSeconds) else { return "\(unixSeconds) s since 1970" }
    return "\(date) \(clock) UTC"
  }

  private static func dateAndClock(_ unixSeconds: Int64) -> (date: String, clock: String)? {
    var seconds = time_t(unixSeconds)
    var parts = unsafe tm()
    guard unsafe gmtime_r(&seconds, &parts) != nil else { return nil }
    let year = unsafe Int(parts.tm_year) + 1900
    guard (0...9999).contains(year) else { return nil }
    func padded(_ number: Int, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let monthAndDay = unsafe [parts.tm_mon + 1, parts.tm_mday].map { "-" + padded(Int($0), 2) }.joined()
    let clock = unsafe [parts.tm_hour, parts.tm_min, parts.tm_sec].map { padded(Int($0), 2) }.joined(separator: ":")
    return (padded(year, 4) + monthAndDay, clock)
  }
}
