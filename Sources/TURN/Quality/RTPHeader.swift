internal import NetworkTypes

/// The part of an RTP header that the measurements need (RFC 3550 section 5.1). SRTP leaves it in clear (RFC 3711
/// section 3.1).
struct RTPHeader: Equatable, BitwiseCopyable {
  var sequenceNumber: UInt16
  /// The time in units of the payload's clock, which the header does not name.
  var timestamp: UInt32
  /// SSRC: the stream.
  var source: UInt32

  init(sequenceNumber: UInt16, timestamp: UInt32, source: UInt32) {
    self.sequenceNumber = sequenceNumber
    self.timestamp = timestamp
    self.source = source
  }

  private static let byteCount = 12

  /// Reads the header of a payload; nil if it is no RTP packet. RTCP packets are recognised by their packet types,
  /// which are in the place of RTP's marker and payload types 64 to 95 (RFC 5761 section 4).
  ///
  /// - Parameter count: the payload's bytes from `offset` on, which are in `bytes`.
  @inline(__always)
  init?(_ bytes: RawSpan, at offset: Int, count: Int) {
    guard count >= Self.byteCount else { return nil }
    let first = bytes.bigEndian32(at: offset)
    // Version 2; DTLS, STUN and QUIC have other first bytes (RFC 7983 section 7).
    guard first >> 30 == 2, (first >> 16) & 0x60 != 0x40 else { return nil }
    // The list of contributing sources, four bytes each, must fit.
    guard count >= Self.byteCount &+ Int((first >> 24) & 0x0F) &* 4 else { return nil }
    sequenceNumber = UInt16(truncatingIfNeeded: first)
    timestamp = bytes.bigEndian32(at: offset &+ 4)
    source = bytes.bigEndian32(at: offset &+ 8)
  }
}
