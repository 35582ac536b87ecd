internal import NetworkTypes

/// Writes one message after another into a buffer of its own: header first, attributes in order, padding always
/// zero, the length kept right. Allocates nothing once made.
public struct MessageWriter: ~Copyable {
  private var buffer: ByteBuffer
  /// The transaction of the message being written, which XOR addresses of IPv6 are mixed with.
  public private(set) var transactionID = TransactionID(high: 0, low: 0)

  /// A writer of messages up to `capacity` bytes. Longer ones are cut and `isOverflown`.
  public init(capacity: Int = 1500) { buffer = ByteBuffer(capacity: capacity) }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { buffer.bytes }
  }

  public var count: Int { buffer.count }
  public var isOverflown: Bool { buffer.isOverflown }

  /// Starts a message, forgetting the one before.
  public mutating func begin(_ type: MessageType, transactionID: TransactionID) {
    buffer.removeAll()
    buffer.append(bigEndian: type.bits)
    buffer.append(bigEndian: UInt16(0))
    buffer.append(bigEndian: magicCookie)
    buffer.append(bigEndian: transactionID.high)
    buffer.append(bigEndian: transactionID.low)
    self.transactionID = transactionID
  }

  /// Starts a message of RFC 3489, forgetting the one before: the transaction ID has 16 bytes.
  mutating func beginClassic(_ type: MessageType, transaction: RawSpan) {
    buffer.removeAll()
    buffer.append(bigEndian: type.bits)
    buffer.append(bigEndian: UInt16(0))
    buffer.append(transaction)
    transactionID = TransactionID(high: 0, low: 0)
  }

  /// Starts a frame that is not STUN (ChannelData), forgetting what was before.
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

  /// Writes the header of an attribute whose value the caller sends from elsewhere: the last one of a message that
  /// travels in two pieces (a Data indication around a peer's datagram). The message's length counts the value and
  /// its padding.
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

  /// Sets the header's length field: what the integrity and fingerprint computations count up to.
  mutating func setLength(_ length: Int) {
    buffer.replace(bigEndian: UInt16(truncatingIfNeeded: length), at: 2)
  }
}
