internal import CLinux
public import NetworkTypes

/// Dates and times of day in UTC, made and read by libc. If the year has more than four digits, the text is the number
/// of seconds.
public enum CivilTime {
  /// `2026-01-31T12:00:00Z`, as RFC 3339 writes it.
  public static func text(_ time: UnixTime) -> String {
    guard let (date, clock) = dateAndClock(time) else { return "\(time)" }
    return "\(date)T\(clock)Z"
  }

  /// `2026-01-31 12:00:00 UTC`, for messages about certificates.
  public static func readableText(_ time: UnixTime) -> String {
    guard let (date, clock) = dateAndClock(time) else { return "\(time) s since 1970" }
    return "\(date) \(clock) UTC"
  }

  /// The time that `text` writes as this text; nil for any other text, such as the 30th of February.
  public static func time(_ text: String) -> UnixTime? {
    var fields: [Int32] = []
    for part in text.split(whereSeparator: { "-T:Z".contains($0) }) {
      guard let number = Int32(part) else { return nil }
      fields.append(number)
    }
    guard fields.count == 6, (0...9999).contains(fields[0]) else { return nil }
    var parts = unsafe tm()
    unsafe parts.tm_year = fields[0] - 1900
    unsafe parts.tm_mon = fields[1] &- 1
    unsafe parts.tm_mday = fields[2]
    unsafe parts.tm_hour = fields[3]
    unsafe parts.tm_min = fields[4]
    unsafe parts.tm_sec = fields[5]
    // timegm takes every number, also a 31st of June: only what is written again as the same text is a date.
    let time = UnixTime(seconds: unsafe Int64(timegm(&parts)))
    return Self.text(time) == text ? time : nil
  }

  private static func dateAndClock(_ time: UnixTime) -> (date: String, clock: String)? {
    var seconds = time_t(time.seconds)
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
