internal import Crypto
internal import NetworkTypes

/// FINGERPRINT: CRC-32 of the message before it, XOR 0x5354554E (RFC 8489 section 14.7).
public enum Fingerprint {
  static let mask: UInt32 = 0x5354_554E

  /// Whether FINGERPRINT is the last attribute and correct; nil without one.
  public static func verify(_ message: borrowing MessageView) -> Bool? {
    guard let offset = message.offset(of: .fingerprint), let value = message.value(of: .fingerprint) else { return nil }
    guard value.byteCount == 4, offset + 8 == message.bytes.byteCount else { return false }
    return CRC32.checksum(message.bytes.extracting(0..<offset)) ^ mask == value.bigEndian32(at: 0)
  }
}

extension MessageWriter {
  /// Appends FINGERPRINT over the written message; nothing may follow it.
  public mutating func appendFingerprint() {
    setLength(count - headerByteCount + 8)
    let checksum = CRC32.checksum(bytes) ^ Fingerprint.mask
    append(.fingerprint, checksum)
  }
}
