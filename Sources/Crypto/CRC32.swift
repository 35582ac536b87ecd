internal import CZlib

/// CRC-32 as of ITU V.42 (polynomial 0x04C11DB7, reflected), which STUN's FINGERPRINT uses (RFC 8489 section 14.7).
public enum CRC32 {
  public static func checksum(_ bytes: RawSpan) -> UInt32 {
    unsafe bytes.withUnsafeBytes { buffer in
      // For a null address (no bytes) the library returns its initial value, which is 0: the checksum of no bytes.
      unsafe UInt32(
        truncatingIfNeeded: crc32(
          0, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(truncatingIfNeeded: buffer.count)))
    }
  }
}
