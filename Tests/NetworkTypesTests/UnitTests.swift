internal import NetworkTypes
internal import Testing

@Suite("Units")
struct UnitTests {
  @Test("Sizes and rates count bytes")
  func sizes() {
    #expect(ByteCount.kibibytes(64) == .bytes(65_536) && ByteCount.mebibytes(4) == .bytes(4_194_304))
    #expect(Int(ByteCount.bytes(7)) == 7 && Int(ByteCount.bytes(.max)) == .max)
    #expect(ByteCount.bytes(1) < .bytes(2))
    #expect(ByteRate.bytesPerSecond(3).perSecond == .bytes(3))
    #expect(ByteRate.unlimited.isUnlimited && !ByteRate.bytesPerSecond(1).isUnlimited)
  }

  @Test("Whole units of a duration are rounded down, and negative ones are 0")
  func durations() {
    let duration = Duration.milliseconds(2500) + .nanoseconds(1)
    #expect(duration.wholeSeconds == 2 && duration.wholeNanoseconds == 2_500_000_001)
    // A wait is rounded up.
    #expect(duration.milliseconds == 2501)
    #expect(Duration.milliseconds(2500).fractionalSeconds == 2.5)
    #expect(Duration.seconds(-1).wholeSeconds == 0 && Duration.seconds(-1).wholeNanoseconds == 0)
    #expect(Duration.seconds(1 << 40).wholeSeconds == .max && Duration.seconds(1 << 40).wholeNanoseconds == .max)
  }

  @Test(
    "Hexadecimal digits are read in either case, in pairs",
    arguments: [
      ("", []), ("00fF", [0, 255]),
      ("0123456789abcdefABCDEF", [1, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF]),
      ("0", nil), ("0g", nil), ("0/", nil), ("0:", nil), ("0@", nil), ("0G", nil), ("0`", nil), (" 00", nil),
      ("ä", nil),
    ] as [(String, [UInt8]?)])
  func hexadecimal(text: String, bytes: [UInt8]?) {
    #expect(Hexadecimal.bytes(text.utf8) == bytes)
    if let bytes { #expect(Hexadecimal.text(bytes) == text.lowercased()) }
  }
}

@Suite("The wall clock")
struct UnixTimeTests {
  private let start = UnixTime(seconds: 1_800_000_000)

  @Test("A later time is whole seconds later, and a fraction is left out")
  func advancing() {
    #expect(start.advanced(by: .seconds(60)).seconds == 1_800_000_060)
    #expect(start.advanced(by: .milliseconds(1999)).seconds == 1_800_000_001)
    #expect(start.advanced(by: .seconds(-1)).seconds == 1_799_999_999)
    #expect(start < start.advanced(by: .seconds(1)))
  }

  @Test("Times at the ends of the range saturate, and their distance is exact")
  func ends() {
    let first = UnixTime(seconds: .min)
    #expect(UnixTime.distantFuture.advanced(by: .seconds(1)) == .distantFuture)
    #expect(first.advanced(by: .seconds(-1)) == first)
    #expect(UnixTime(clamping: .max) == .distantFuture && UnixTime(clamping: 5) == UnixTime(seconds: 5))
    #expect(UnixTime.distantFuture.duration(since: first) == .seconds(Int64.max) - .seconds(Int64.min))
    #expect(start.duration(since: .distantFuture) < .zero)
  }

  @Test("A time is written as its seconds")
  func text() { #expect("\(start)" == "1800000000" && "\(UnixTime.epoch)" == "0") }
}
