internal import NetworkTypes
internal import System
internal import Testing

@Suite("Dates")
struct CivilTimeTests {
  static let dates: [(Int64, String)] = [
    (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_769_860_799, "2026-01-31T11:59:59Z"),
    (1_769_904_000, "2026-02-01T00:00:00Z"), (1_798_761_599, "2026-12-31T23:59:59Z"),
    (1_835_395_200, "2028-02-29T00:00:00Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
    (-1, "1969-12-31T23:59:59Z"), (253_402_300_799, "9999-12-31T23:59:59Z"),
  ]

  @Test("Dates are those of the calendar, written and read", arguments: dates)
  func calendar(seconds: Int64, text: String) {
    #expect(CivilTime.text(UnixTime(seconds: seconds)) == text)
    #expect(CivilTime.time(text) == UnixTime(seconds: seconds))
  }

  @Test("A year of more than four digits is the number of seconds", arguments: [253_402_300_800, Int64.max])
  func longYears(seconds: Int64) { #expect(CivilTime.text(UnixTime(seconds: seconds)) == "\(seconds)") }

  @Test(
    "Other texts are no dates",
    arguments: [
      "", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z",
      "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01 00:00:00Z",
      "2026-01-01T00:00:00", "26-1-1T0:0:0Z", "2026-01-01T00:00:00+01", "2026-01-01T00:00:00Z ", "-026-01-01T00:00:00Z",
      "2026-01-01T00:00:2147483647Z", "99999999999-01-01T00:00:00Z",
    ])
  func noDates(text: String) { #expect(CivilTime.time(text) == nil) }

  @Test(
    "Dates are written for people, before 1970 too",
    arguments: [
      (0, "1970-01-01 00:00:00 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"), (-1, "1969-12-31 23:59:59 UTC"),
      (4_102_444_799, "2099-12-31 23:59:59 UTC"), (-62_167_219_200, "0000-01-01 00:00:00 UTC"),
      (-62_167_219_201, "-62167219201 s since 1970"), (253_402_300_800, "253402300800 s since 1970"),
      (Int64.min, "-9223372036854775808 s since 1970"), (Int64.max, "9223372036854775807 s since 1970"),
    ])
  func readable(seconds: Int64, text: String) {
    #expect(CivilTime.readableText(UnixTime(seconds: seconds)) == text)
  }
}
