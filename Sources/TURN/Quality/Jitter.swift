internal import Tables

/// Interarrival jitter (RFC 3550 section 6.4.1): the mean deviation, smoothed over 16 values, in the integers of
/// appendix A.8.
struct Jitter: BitwiseCopyable {
  /// The estimate times 16 in the lower 24 bits, the number of values above it, up to `enough`: four bytes, because
  /// each allocation has six of these.
  private var word: UInt32 = 0

  /// Microseconds; a larger deviation is no jitter but a pause, or a jump of the sender's clock.
  static let largest: UInt64 = 1_000_000
  /// The number of values after which the estimate is shown.
  private static let enough: UInt32 = 16

  /// Microseconds; nil until there are enough values.
  var microseconds: UInt32? { word >> 24 < Self.enough ? nil : (word & 0xFF_FFFF) >> 4 }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&word)
    // A larger estimate, which no deviation gives, would not fit the sums.
    guard word & 0xFF_FFFF <= 16 * Self.largest else { throw coder.failure("a jitter is too large") }
  }

  /// - Parameter deviation: microseconds between two intervals that should be equal.
  @inline(__always)
  mutating func record(_ deviation: Int64) {
    let size = deviation.magnitude
    guard size <= Self.largest else { return }
    let count = word >> 24
    let scaled = word & 0xFF_FFFF
    // The result is at most 16 times `largest`, because each step subtracts a sixteenth: this fits 24 bits.
    let next = scaled &+ UInt32(truncatingIfNeeded: size) &- ((scaled &+ 8) >> 4)
    word = (count < Self.enough ? count &+ 1 : count) << 24 | next
  }
}

/// The clock rate of a stream's timestamps, which SRTP does not name: the common rate nearest to the rate measured over
/// two seconds.
struct TimestampClock: BitwiseCopyable {
  private var firstTimestamp: UInt32
  private var firstArrival: UInt32
  /// The number of the rate; 0: not known yet.
  private var rate: UInt8 = 0

  /// Microseconds of a stream that an estimate needs.
  private static let span: Int64 = 2_000_000

  init(timestamp: UInt32, arrival: UInt32) {
    firstTimestamp = timestamp
    firstArrival = arrival
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&firstTimestamp)
    try coder.code(&firstArrival)
    try coder.code(&rate)
    guard rate <= 7 else { throw coder.failure("a clock has no such rate") }
  }

  /// Hertz; nil while it is unknown.
  var hertz: Int64? { rate == 0 ? nil : Self.hertz(rate) }

  /// The microseconds of a difference of timestamps; nil while the rate is unknown.
  @inline(__always)
  func microseconds(_ difference: Int32) -> Int64? {
    rate == 0 ? nil : (Int64(difference) &* Self.tick(rate)) >> 16
  }

  /// Measures the rate until it is known.
  @inline(__always)
  mutating func observe(timestamp: UInt32, arrival: UInt32) {
    if rate == 0 { estimate(timestamp: timestamp, arrival: arrival) }
  }

  @inline(never)
  private mutating func estimate(timestamp: UInt32, arrival: UInt32) {
    let elapsed = Int64(arrival &- firstArrival)
    guard elapsed >= Self.span else { return }
    let ticks = Int64(Int32(bitPattern: timestamp &- firstTimestamp))
    rate = Self.nearestRate(to: ticks &* 1_000_000 / elapsed)
    if rate == 0 { self = TimestampClock(timestamp: timestamp, arrival: arrival) }
  }

  /// The rates of speech, wide-band speech, Opus and other music, and video. A switch, because reading a table would
  /// change its reference count.
  private static func hertz(_ number: UInt8) -> Int64 {
    switch number {
    case 1: 8000
    case 2: 16_000
    case 3: 24_000
    case 4: 32_000
    case 5: 44_100
    case 6: 48_000
    default: 90_000
    }
  }

  /// The microseconds of one tick, times 65,536: below 2^23, so that the product with any difference fits. The compiler
  /// calculates them; a division would take longer than all other work here for a packet.
  @inline(__always)
  private static func tick(_ number: UInt8) -> Int64 {
    switch number {
    case 1: (1_000_000 << 16) / 8000
    case 2: (1_000_000 << 16) / 16_000
    case 3: (1_000_000 << 16) / 24_000
    case 4: (1_000_000 << 16) / 32_000
    case 5: (1_000_000 << 16) / 44_100
    case 6: (1_000_000 << 16) / 48_000
    default: (1_000_000 << 16) / 90_000
    }
  }

  /// The number of the nearest rate; 0 if no rate is within an eighth.
  private static func nearestRate(to measured: Int64) -> UInt8 {
    var best: (number: UInt8, distance: UInt64) = (0, .max)
    for number in UInt8(1)...7 {
      let distance = (measured &- hertz(number)).magnitude
      if distance < best.distance, distance <= UInt64(hertz(number) / 8) { best = (number, distance) }
    }
    return best.number
  }
}
