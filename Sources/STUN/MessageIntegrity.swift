public import Crypto
internal import NetworkTypes

/// The two integrity attributes (RFC 8489 sections 14.5 and 14.6), each with its MAC context ready. It belongs to one
/// thread.
public struct MessageAuthenticator: ~Copyable {
  private var sha1 = HMACContext(.sha1)
  private var sha256 = HMACContext(.sha256)

  public init() {}

  /// Whether the message has a MESSAGE-INTEGRITY that is valid for this key.
  public mutating func verify(_ message: borrowing MessageView, key: borrowing Digest) -> Bool {
    guard let offset = message.offset(of: .messageIntegrity), let value = message.value(of: .messageIntegrity),
      value.byteCount == 20
    else { return false }
    let expected = Self.authenticate(
      message.bytes, upTo: offset, valueByteCount: 20, key: key.bytes, context: &sha1)
    return constantTimeEqual(expected.bytes, value)
  }

  /// Whether the message has a MESSAGE-INTEGRITY-SHA256 that is valid for this key, with all 32 bytes, because TURN
  /// allows no truncation (RFC 8489 section 14.6).
  public mutating func verifySHA256(_ message: borrowing MessageView, key: borrowing Digest) -> Bool {
    guard let offset = message.offset(of: .messageIntegritySHA256),
      let value = message.value(of: .messageIntegritySHA256),
      value.byteCount == 32
    else { return false }
    let expected = Self.authenticate(
      message.bytes, upTo: offset, valueByteCount: 32, key: key.bytes, context: &sha256)
    return constantTimeEqual(expected.bytes, value)
  }

  /// Appends MESSAGE-INTEGRITY over the written message.
  public mutating func sign(_ writer: inout MessageWriter, key: borrowing Digest) {
    writer.setLength(writer.count - headerByteCount + 24)
    let digest = sha1.authenticate(writer.bytes, key: key.bytes)
    writer.append(.messageIntegrity, digest.bytes)
  }

  /// Appends MESSAGE-INTEGRITY-SHA256 over the written message.
  public mutating func signSHA256(_ writer: inout MessageWriter, key: borrowing Digest) {
    writer.setLength(writer.count - headerByteCount + 36)
    let digest = sha256.authenticate(writer.bytes, key: key.bytes)
    writer.append(.messageIntegritySHA256, digest.bytes)
  }

  /// Computes the MAC over the message up to `offset`, with a length field that includes the integrity attribute (whose
  /// value has `valueByteCount` bytes) but no later attribute.
  private static func authenticate(
    _ bytes: RawSpan, upTo offset: Int, valueByteCount: Int, key: RawSpan, context: inout HMACContext
  ) -> Digest {
    let length = UInt16(truncatingIfNeeded: offset + 4 + valueByteCount - headerByteCount)
    let lengthBytes: InlineArray<2, UInt8> = [
      UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length),
    ]
    context.begin(key: key)
    context.update(bytes.extracting(0..<2))
    context.update(lengthBytes.span.rawBytes)
    context.update(bytes.extracting(4..<offset))
    return context.finish()
  }
}
