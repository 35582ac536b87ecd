internal import NetworkTypes

extension MessageWriter {
  /// Appends ICMP (RFC 8656 section 18.13, figure 11, which gives the type seven bits and the code nine).
  ///
  /// ```
  ///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
  ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
  ///  |  Reserved                     |  ICMP Type  |  ICMP Code      |
  ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
  ///  |                          Error Data                           |
  ///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
  /// ```
  public mutating func append(icmpType type: UInt8, code: UInt8, errorData: UInt32) {
    append(.icmp, UInt64(UInt32(type & 0x7F) << 9 | UInt32(code)) << 32 | UInt64(errorData))
  }
}

extension MessageView {
  /// ICMP's type, code and error data; nil if there is none.
  public func icmp() throws(DecodingError) -> (type: UInt8, code: UInt8, errorData: UInt32)? {
    guard let value = value(of: .icmp) else { return nil }
    guard value.byteCount == 8 else { throw .malformedAttribute }
    let word = value.bigEndian16(at: 2)
    return (UInt8(word >> 9), UInt8(truncatingIfNeeded: word), value.bigEndian32(at: 4))
  }
}
