public import NetworkTypes

/// A Binding request of RFC 3489: no magic cookie, and a transaction ID of 128 bits in the place of RFC 8489's cookie
/// and transaction ID.
///
/// ```
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |      STUN Message Type        |         Message Length        |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |                  Transaction ID (128 bits)                    |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// RESPONSE-ADDRESS counts as not understood (RFC 5389 section 12.2): it would let any client make the server send to
/// any address.
public struct ClassicBinding: ~Escapable {
  private let bytes: RawSpan
  /// The flags of CHANGE-REQUEST; no flags without this attribute.
  public private(set) var change = ChangeRequest()
  /// The first eight mandatory attributes (0x7FFF and below) that are not understood (section 11.2.10).
  public private(set) var unknown: [AttributeType] = []

  /// Attributes of RFC 3489 section 11.2 that are allowed in requests and ignored: USERNAME, PASSWORD and
  /// MESSAGE-INTEGRITY.
  private static let ignored: Set<UInt16> = [0x0006, 0x0007, 0x0008]

  /// Nil if the datagram is no Binding request of RFC 3489.
  @_lifetime(copy bytes)
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= headerByteCount, bytes.bigEndian16(at: 0) == 0x0001,
      bytes.bigEndian32(at: 4) != magicCookie, Int(bytes.bigEndian16(at: 2)) == bytes.byteCount - headerByteCount,
      bytes.byteCount & 3 == 0
    else { return nil }
    self.bytes = bytes
    var offset = headerByteCount
    while offset < bytes.byteCount {
      let type = bytes.bigEndian16(at: offset)
      let length = Int(bytes.bigEndian16(at: offset + 2))
      guard (length + 3) & ~3 <= bytes.byteCount - offset - 4 else { return nil }
      if type == AttributeType.changeRequest.rawValue, length == 4 {
        change = ChangeRequest(bits: bytes.bigEndian32(at: offset + 4))
      } else if type < 0x8000, !Self.ignored.contains(type), unknown.count < 8 {
        unknown.append(AttributeType(rawValue: type))
      }
      offset += 4 + ((length + 3) & ~3)
    }
  }

  /// Writes the Binding response: MAPPED-ADDRESS, and with NAT discovery SOURCE-ADDRESS and CHANGED-ADDRESS (section
  /// 8.1). An IPv6 address has the form of RFC 8489.
  public func answer(
    _ address: SocketAddress, source: SocketAddress? = nil, changed: SocketAddress? = nil,
    in writer: inout MessageWriter
  ) {
    writer.beginClassic(MessageType(.binding, .success), transaction: bytes.extracting(4..<headerByteCount))
    writer.append(.mappedAddress, plain: address)
    if let source { writer.append(.sourceAddress, plain: source) }
    if let changed { writer.append(.changedAddress, plain: changed) }
  }

  /// Counts CHANGE-REQUEST, which the server cannot serve, as an attribute that is not understood. An ordinary answer
  /// would tell the client that it is not behind a NAT.
  public mutating func refuseChange() {
    if change.isAny, !unknown.contains(.changeRequest) { unknown.append(.changeRequest) }
  }

  /// Writes the error response to mandatory attributes that are not understood (section 8.1). The last one is repeated
  /// if their number is odd, as section 11.2.10 requires.
  public func refuse(in writer: inout MessageWriter) {
    writer.beginClassic(MessageType(.binding, .error), transaction: bytes.extracting(4..<headerByteCount))
    writer.append(.unknownAttribute as ErrorCode)
    var types = unknown
    if types.count & 1 == 1, let last = types.last { types.append(last) }
    writer.append(unknownAttributes: types)
  }
}
