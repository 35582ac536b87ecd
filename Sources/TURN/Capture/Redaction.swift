internal import Crypto
internal import NetworkTypes
internal import STUN

/// A copy of a STUN message without secrets and without data of peers.
///
/// An attribute that is not known to be harmless has zeros in place of its value: MESSAGE-INTEGRITY, NONCE, tokens,
/// tickets, and unknown attributes. DATA and PADDING are empty. FINGERPRINT is calculated again.
struct Redaction {
  private static let headerByteCount = 20

  private let names: CaptureFilter.Names
  private var copy: [UInt8]

  /// Nil if the bytes are too few for a header. Attributes from the first malformed one on are left out.
  static func copy(of message: RawSpan, names: CaptureFilter.Names) -> [UInt8]? {
    guard message.byteCount >= headerByteCount else { return nil }
    var redaction = Redaction(names: names, copy: message.extracting(0..<headerByteCount).copied())
    var offset = headerByteCount
    while offset + 4 <= message.byteCount {
      let type = AttributeType(rawValue: message.bigEndian16(at: offset))
      let length = Int(message.bigEndian16(at: offset + 2))
      // The value of DATA may be elsewhere, and is not copied.
      if type == .data { redaction.append(type, []) }
      guard offset + 4 + length <= message.byteCount else { break }
      if type != .data { redaction.append(type, message.extracting(offset + 4..<offset + 4 + length)) }
      offset += 4 + ((length + 3) & ~3)
    }
    redaction.setLength(redaction.copy.count - headerByteCount)
    return redaction.copy
  }

  private mutating func append(_ type: AttributeType, _ value: RawSpan) {
    switch type {
    case .username: append(type, shortened(value.copied()))
    case .userHash: append(type, names == .whole ? value.copied() : zeros(value.byteCount))
    case .padding: append(type, [])
    case .fingerprint: appendFingerprint()
    case let type where Self.harmless.contains(type): append(type, value.copied())
    default: append(type, zeros(value.byteCount))
    }
  }

  private mutating func append(_ type: AttributeType, _ value: [UInt8]) {
    append(type.rawValue)
    append(UInt16(truncatingIfNeeded: value.count))
    copy += value
    copy += zeros(-value.count & 3)
  }

  private mutating func append(_ number: UInt16) {
    copy.append(UInt8(truncatingIfNeeded: number >> 8))
    copy.append(UInt8(truncatingIfNeeded: number))
  }

  /// Appends FINGERPRINT (RFC 8489 section 14.7) of the redacted message.
  private mutating func appendFingerprint() {
    setLength(copy.count - Self.headerByteCount + 8)
    let checksum = CRC32.checksum(copy.span.rawBytes) ^ 0x5354_554E
    append(.fingerprint, [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: checksum >> $0) })
  }

  private mutating func setLength(_ length: Int) {
    copy[2] = UInt8(truncatingIfNeeded: length >> 8)
    copy[3] = UInt8(truncatingIfNeeded: length)
  }

  private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

  /// The name with asterisks in place of what `names` hides; the length stays.
  private func shortened(_ name: [UInt8]) -> [UInt8] {
    var shown = 0
    switch names {
    case .whole: return name
    case .none: break
    case .beginning:
      let digits = name.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
      shown = digits > 0 && digits < name.count && name[digits] == UInt8(ascii: ":") ? digits + 3 : 2
    }
    return name.prefix(shown) + [UInt8](repeating: UInt8(ascii: "*"), count: max(name.count - shown, 0))
  }

  /// Attributes whose values are copied unchanged.
  private static let harmless: Set<AttributeType> = [
    .mappedAddress, .errorCode, .unknownAttributes, .realm, .passwordAlgorithm, .passwordAlgorithms,
    .xorMappedAddress, .alternateDomain, .alternateServer, .software, .channelNumber, .lifetime, .xorPeerAddress,
    .xorRelayedAddress, .requestedAddressFamily, .evenPort, .requestedTransport, .dontFragment,
    .additionalAddressFamily, .addressErrorCode, .icmp, .thirdPartyAuthorization, .connectionID, .changeRequest,
    .responsePort, .responseOrigin, .otherAddress, .sourceAddress, .changedAddress,
  ]
}
