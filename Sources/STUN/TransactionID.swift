/// The 96 bits that match a response to its request (RFC 8489 section 5).
public struct TransactionID: Hashable, Sendable, BitwiseCopyable {
  public let high: UInt32
  public let low: UInt64

  @inlinable
  public init(high: UInt32, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// The fixed value that distinguishes STUN from other protocols on a port (RFC 8489 section 5).
public let magicCookie: UInt32 = 0x2112_A442

/// The number of bytes in a message header.
public let headerByteCount = 20
