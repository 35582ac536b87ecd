internal import Crypto
internal import NetworkTypes
internal import Tables

/// The content of a mobility ticket (RFC 8016 section 3.1.2).
struct MobilityTicket: Equatable {
  /// The shard that has the allocation.
  var shard: UInt8
  var allocation: Handle<Allocation>
  /// The number of the ticket: each move makes the next one.
  var epoch: UInt16
  /// A 16-bit hash of the owner's name; the allocation has the whole name.
  var user: UInt16

  static func tag(ofUser username: [UInt8]) -> UInt16 {
    var context = HashContext(.sha256)
    return context.hash(username.span.rawBytes).bytes.bigEndian16(at: 0)
  }
}

/// Seals and opens mobility tickets, without storing them. The key is derived from the shared key, so that any shard
/// can open a ticket.
///
/// ```
///  +-----------------+--------------------------------------------------------------------+----------------+
///  | nonce (8 bytes) | shard (1), index (3), generation (4), epoch (2), user (2)          | tag (12 bytes) |
///  +-----------------+------------------------- AES-256-GCM ------------------------------+----------------+
/// ```
///
/// A ticket has 32 bytes and no zero byte, because coturn's clients keep a ticket as a C string of at most this length.
struct MobilityTickets: Sendable {
  private let key: [UInt8]
  private let shard: Int
  private var counter: UInt64

  private static let purpose = Array("turnpike mobility ticket 1".utf8)
  private static let nonceByteCount = 8
  private static let tagByteCount = 12
  static let byteCount = nonceByteCount + 12 + tagByteCount
  /// 255 to the power of six: the number of values of six bytes without zeros.
  static let counterBound: UInt64 = 274_941_996_890_625

  /// - Parameter start: the random start of this shard's nonces: another server with the same key must not use the same
  ///   nonces.
  init(key: [UInt8], shard: Int, start: UInt64) {
    var context = HMACContext(.sha256)
    self.key = context.authenticate(Self.purpose.span.rawBytes, key: key.span.rawBytes).array
    self.shard = shard
    counter = start
  }

  /// A successor continues with the next nonce: with the same key it must not use one again.
  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&counter)
    counter %= Self.counterBound
  }

  mutating func seal(_ ticket: MobilityTicket) -> [UInt8] {
    var text = [ticket.shard]
    append(ticket.allocation.index, count: 3, to: &text)
    append(ticket.allocation.generation, count: 4, to: &text)
    append(UInt32(ticket.epoch), count: 2, to: &text)
    append(UInt32(ticket.user), count: 2, to: &text)
    // One ticket in ten has a zero byte; then the next nonce is tried. A hundred failures in a row do not happen.
    for _ in 0..<100 {
      let nonce = nextNonce()
      guard
        let sealed = AEAD.seal(
          text, key: key, nonce: [0, 0, 0, 0] + nonce, associatedData: Self.purpose, tagByteCount: Self.tagByteCount)
      else { break }
      if !sealed.contains(0) { return nonce + sealed }
    }
    return []
  }

  /// The shard and a number that it never reuses, in digits from 1 to 255.
  private mutating func nextNonce() -> [UInt8] {
    counter = (counter + 1) % Self.counterBound
    var nonce = [UInt8(shard % 255 + 1), UInt8(shard / 255 % 255 + 1)]
    var rest = counter
    for _ in 0..<6 {
      nonce.append(UInt8(rest % 255 + 1))
      rest /= 255
    }
    return nonce
  }

  /// The content of a ticket; nil for other bytes.
  func open(_ bytes: RawSpan) -> MobilityTicket? {
    guard bytes.byteCount == Self.byteCount else { return nil }
    let sealed = bytes.copied()
    guard
      let text = AEAD.open(
        Array(sealed.dropFirst(Self.nonceByteCount)), key: key,
        nonce: [0, 0, 0, 0] + sealed.prefix(Self.nonceByteCount), associatedData: Self.purpose,
        tagByteCount: Self.tagByteCount), text.count == 12
    else { return nil }
    let span = text.span.rawBytes
    return MobilityTicket(
      shard: span.byte(at: 0),
      allocation: Handle<Allocation>(index: span.bigEndian32(at: 0) & 0xFF_FFFF, generation: span.bigEndian32(at: 4)),
      epoch: span.bigEndian16(at: 8), user: span.bigEndian16(at: 10))
  }

  private func append(_ value: UInt32, count: Int, to bytes: inout [UInt8]) {
    for index in (0..<count).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * index))) }
  }
}
