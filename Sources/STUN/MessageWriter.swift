internal import NetworkTypes

/// Writes one message after another into its buffer: the header, then attributes in order, with zero padding and a
/// correct length. Writing allocates nothing.
public struct MessageWriter: ~Copyable {
  private var buffer: ByteBuffer
  /// The transaction ID of the current message, the mask of IPv6 XOR addresses.
  public private(set) var transactionID = TransactionID(high: 0, low: 0)

  /// Makes a writer of messages up to `capacity` bytes. A longer message is truncated, and `isOverflown` is set.
  public init(capacity: Int = 1500) { buffer = ByteBuffer(capacity: capacity) }

  /// The written message.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { buffer.bytes }
  }

  public var count: Int { buffer.count }
  /// Whether the message was longer than the capacity and is truncated.
  public var isOverflown: Bool { buffer.isOverflown }

  /// Starts a message and discards the previous one.
  public mutating func begin(_ type: MessageType, transactionID: TransactionID) {
    buffer.removeAll()
    buffer.append(bigEndian: type.bits)
    buffer.append(bigEndian: UInt16(0))
    buffer.append(bigEndian: magicCookie)
    buffer.append(bigEndian: transactionID.high)
    buffer.append(bigEndian: transactionID.low)
    self.transactionID = transactionID
  }

  /// Starts a message of RFC 3489, whose transaction ID has 16 bytes, and discards the previous one.
  mutating func beginClassic(_ type: MessageType, transaction: RawSpan) {
    buffer.removeAll()
    buffer.append(bigEndian: type.bits)
    buffer.append(bigEndian: UInt16(0))
    buffer.append(transaction)
    transactionID = TransactionID(high: 0, low: 0)
  }

  /// Starts a frame that is not STUN (ChannelData), and discards the previous message.
  public mutating func beginRaw() { buffer.removeAll() }

  public mutating func appendRaw(_ bytes: RawSpan) { buffer.append(bytes) }

  public mutating func appendRaw(bigEndian value: UInt16) { buffer.append(bigEndian: value) }

  public mutating func appendRaw(zeros count: Int) { buffer.append(zeros: count) }

  // MARK: - Attributes by the shape of their value

  public mutating func append(_ attribute: AttributeType, _ value: RawSpan) {
    beginAttribute(attribute, byteCount: value.byteCount)
    buffer.append(value)
    endAttribute(byteCount: value.byteCount)
  }

  public mutating func append(_ attribute: AttributeType, _ value: [UInt8]) { append(attribute, value.span.rawBytes) }

  public mutating func append(_ attribute: AttributeType, text: String) {
    append(attribute, Array(text.utf8))
  }

  public mutating func append(_ attribute: AttributeType, _ value: UInt32) {
    beginAttribute(attribute, byteCount: 4)
    buffer.append(bigEndian: value)
    endAttribute(byteCount: 4)
  }

  public mutating func append(_ attribute: AttributeType, _ value: UInt64) {
    beginAttribute(attribute, byteCount: 8)
    buffer.append(bigEndian: value)
    endAttribute(byteCount: 8)
  }

  /// Writes the header of the last attribute, whose value the caller sends from another buffer (a Data indication
  /// around a peer's datagram). The message's length includes the value and its padding.
  public mutating func appendHeader(of attribute: AttributeType, followedBy byteCount: Int) {
    beginAttribute(attribute, byteCount: byteCount)
    setLength(buffer.count - headerByteCount + ((byteCount + 3) & ~3))
  }

  mutating func beginAttribute(_ attribute: AttributeType, byteCount: Int) {
    buffer.append(bigEndian: attribute.rawValue)
    buffer.append(bigEndian: UInt16(truncatingIfNeeded: byteCount))
  }

  mutating func append(raw8 value: UInt8) { buffer.append(value) }
  mutating func append(raw16 value: UInt16) { buffer.append(bigEndian: value) }
  mutating func append(raw32 value: UInt32) { buffer.append(bigEndian: value) }
  mutating func append(raw64 value: UInt64) { buffer.append(bigEndian: value) }

  mutating func endAttribute(byteCount: Int) {
    buffer.append(zeros: (4 - byteCount & 3) & 3)
    setLength(buffer.count - headerByteCount)
  }

  /// Sets the header's length field, which integrity and fingerprint cover.
  mutating func setLength(_ length: Int) {
    buffer.replace(bigEndian: UInt16(truncatingIfNeeded: length), at: 2)
  }
}
