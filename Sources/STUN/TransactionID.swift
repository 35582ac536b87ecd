
/// The 96 bits that tie a response to its request (RFC 8489 section 5).
public struct TransactionID: Hashable, Sendable, BitwiseCopyable {
  public let high: UInt32
  public let low: UInt64

  @inlinable
  public init(high: UInt32, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// The fixed value that tells STUN from what else arrives on a port (RFC 8489 section 5).
public let magicCookie: UInt32 = 0x2112_A442

/// How many bytes a message header has.
public let headerByteCount = 20
