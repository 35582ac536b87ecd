internal import NetworkTypes

/// A limit on the bytes a second of one allocation in one direction: what a byte costs in time. Plain numbers, so
/// that asking allocates nothing and locks nothing.
struct BandwidthLimit: BitwiseCopyable {
  /// Nanoseconds that a byte takes, times 65,536; 0 is no limit.
  private let cost: UInt64

  /// - Parameter rate: bytes a second; 0 is no limit.
  init(bytesPerSecond rate: UInt64) { cost = rate == 0 ? 0 : (1_000_000_000 << 16) / rate }

  @inline(__always)
  var isUnlimited: Bool { cost == 0 }

  /// How long `count` bytes take; `count` is at most what a datagram holds, so the product fits.
  @inline(__always)
  fileprivate func nanoseconds(for count: Int) -> UInt64 {
    (UInt64(truncatingIfNeeded: count) &* cost) >> 16
  }
}

extension Relay {
  /// What an allocation of this client may carry.
  @inline(__always)
  func bandwidth(of client: ClientPath) -> BandwidthLimit {
    let index = Int(client.realm)
    return index < bandwidths.count ? bandwidths[index] : bandwidths[0]
  }
}

/// One direction's bucket: one second's worth of bytes, full at first. A datagram passes while anything is left in
/// it, so that one larger than a slow bucket still gets through, and is paid for afterwards.
struct BandwidthBucket: BitwiseCopyable {
  /// When everything that has passed would have passed at exactly the limit.
  private var paidUntil: UInt64 = 0

  static let burstNanoseconds: UInt64 = 1_000_000_000

  @inline(__always)
  mutating func take(_ count: Int, _ limit: BandwidthLimit, now: Instant) -> Bool {
    let start = max(paidUntil, now.nanoseconds)
    guard start &- now.nanoseconds < Self.burstNanoseconds else { return false }
    paidUntil = start &+ limit.nanoseconds(for: count)
    return true
  }

  /// Pays for bytes of a stream, which cannot be dropped: how many nanoseconds the sender has to wait now.
  mutating func charge(_ count: Int, _ limit: BandwidthLimit, now: Instant) -> UInt64 {
    paidUntil = max(paidUntil, now.nanoseconds) &+ limit.nanoseconds(for: count)
    let ahead = paidUntil &- now.nanoseconds
    return ahead > Self.burstNanoseconds ? ahead - Self.burstNanoseconds : 0
  }
}
