internal import NetworkTypes

/// The timestamp in the first bytes of every packet's data.
///
/// ```
///  | mark (4) | flow (4) | sending time: nanoseconds of CLOCK_MONOTONIC (8) |
/// ```
public enum Stamp {
  public static let byteCount = 16
  static let mark: UInt32 = 0x4C4F_4144

  static func append(to buffer: inout ByteBuffer, flow: Int, now: Instant) {
    buffer.append(bigEndian: mark)
    buffer.append(bigEndian: UInt32(truncatingIfNeeded: flow))
    buffer.append(bigEndian: now.nanoseconds)
  }

  /// The time when the packet was sent; nil if the data is not ours.
  @inline(__always)
  static func sent(_ data: RawSpan) -> Instant? {
    guard data.byteCount >= byteCount, data.bigEndian32(at: 0) == mark else { return nil }
    return Instant(nanoseconds: data.bigEndian64(at: 8))
  }
}
