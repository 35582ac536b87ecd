internal import Crypto
internal import NetworkTypes

/// What a mobility ticket names (RFC 8016 section 3.1.2).
struct MobilityTicket: Equatable {
  /// The shard that has the allocation.
  var shard: UInt16
  var allocation: RecordID
  /// Which of the allocation's tickets: each move makes the next one.
  var epoch: UInt32
  /// Whose it is.
  var user: UInt32
}

/// Seals and opens mobility tickets; keeps none. The key is derived from what all shards share, so that any of them
/// can tell whose a ticket is.
///
/// ```
///  +------------------+----------------------------------------------------------+---------------+
///  | nonce (12 bytes) | shard (2), index (4), generation (4), epoch (4), user (4) | tag (16 bytes)|
///  +------------------+---------------- AES-256-GCM -----------------------------+---------------+
/// ```
struct MobilityTickets: Sendable {
  private let key: [UInt8]
  private static let purpose = Array("turnpike mobility ticket 1".utf8)
  static let byteCount = AEAD.nonceByteCount + 18 + AEAD.tagByteCount

  init(key: [UInt8]) {
    var context = HMACContext(.sha256)
    self.key = context.authenticate(Self.purpose.span.rawBytes, key: key.span.rawBytes).array
  }

  /// - Parameter random: 128 bits that no other ticket was or will be sealed with; 96 of them are the nonce.
  func seal(_ ticket: MobilityTicket, random: (UInt64, UInt64)) -> [UInt8] {
    var nonce: [UInt8] = []
    append(random.0, to: &nonce)
    append(UInt32(truncatingIfNeeded: random.1), to: &nonce)
    var text: [UInt8] = []
    append(ticket.shard, to: &text)
    append(ticket.allocation.index, to: &text)
    append(ticket.allocation.generation, to: &text)
    append(ticket.epoch, to: &text)
    append(ticket.user, to: &text)
    // Key and nonce have the lengths that sealing asks for.
    return nonce + (AEAD.seal(text, key: key, nonce: nonce, associatedData: Self.purpose) ?? [])
  }

  /// What a ticket of ours names; nil for anything else.
  func open(_ bytes: RawSpan) -> MobilityTicket? {
    guard bytes.byteCount == Self.byteCount else { return nil }
    let sealed = bytes.copied()
    guard
      let text = AEAD.open(
        Array(sealed.dropFirst(AEAD.nonceByteCount)), key: key, nonce: Array(sealed.prefix(AEAD.nonceByteCount)),
        associatedData: Self.purpose), text.count == 18
    else { return nil }
    let span = text.span.rawBytes
    return MobilityTicket(
      shard: span.bigEndian16(at: 0),
      allocation: RecordID(index: span.bigEndian32(at: 2), generation: span.bigEndian32(at: 6)),
      epoch: span.bigEndian32(at: 10), user: span.bigEndian32(at: 14))
  }

  private func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
