internal import NetworkTypes
internal import Tables

/// A limit on units a second: bytes, or messages. It stores the time that each unit costs, so that a check needs no
/// allocation and no lock.
struct RateLimit: BitwiseCopyable {
  /// Nanoseconds for each unit, times 65,536; 0 is no limit.
  private let cost: UInt64

  /// - Parameter rate: units a second; 0 is no limit.
  init(perSecond rate: UInt64) { cost = rate == 0 ? 0 : (1_000_000_000 << 16) / rate }

  /// A limit on bytes.
  init(_ rate: ByteRate) { self.init(perSecond: rate.perSecond.rawValue) }

  @inline(__always)
  var isUnlimited: Bool { cost == 0 }

  /// Whether this limit allows fewer units than another.
  func isStricter(than other: RateLimit) -> Bool { cost > other.cost }

  /// The time for `count` units; `count` is at most a datagram's length, so the product fits.
  @inline(__always)
  fileprivate func nanoseconds(for count: Int) -> UInt64 {
    (UInt64(truncatingIfNeeded: count) &* cost) >> 16
  }
}

/// A token bucket of one second, full at first. A datagram passes while the bucket is not empty and is charged
/// afterwards, so that a datagram larger than the bucket can pass too.
struct RateBucket: BitwiseCopyable {
  /// The time in nanoseconds at which all passed units would have passed at exactly the limit.
  private var paidUntil: UInt64 = 0

  static let burstNanoseconds: UInt64 = 1_000_000_000

  mutating func code(with coder: inout RecordCoder) throws(RecordError) { try coder.code(&paidUntil) }

  @inline(__always)
  mutating func take(_ count: Int, _ limit: RateLimit, now: Instant) -> Bool {
    let start = max(paidUntil, now.nanoseconds)
    guard start &- now.nanoseconds < Self.burstNanoseconds else { return false }
    paidUntil = start &+ limit.nanoseconds(for: count)
    return true
  }

  /// Charges bytes of a stream, which cannot be dropped; returns the nanoseconds that the sender must wait.
  mutating func charge(_ count: Int, _ limit: RateLimit, now: Instant) -> UInt64 {
    paidUntil = max(paidUntil, now.nanoseconds) &+ limit.nanoseconds(for: count)
    let ahead = paidUntil &- now.nanoseconds
    return ahead > Self.burstNanoseconds ? ahead - Self.burstNanoseconds : 0
  }
}
