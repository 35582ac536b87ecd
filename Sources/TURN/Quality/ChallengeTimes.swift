internal import NetworkTypes
internal import Tables

/// The times at which the last challenges were sent, by nonce. The first request with a nonce comes after its challenge
/// has reached the client: the time between them is at least the round trip. It includes the client's delay and that of
/// lost datagrams.
///
/// A nonce that was sent twice keeps its first time: otherwise a late answer to the first challenge would seem too
/// fast. A new challenge overwrites an older one in its entry, whose client then has no known round trip.
struct ChallengeTimes {
  /// Limit of remembered challenges: 24 KiB.
  static let capacity = 1024
  /// Nanoseconds; a later answer does not measure the network.
  private static let longest: UInt64 = 10_000_000_000

  private struct Entry {
    var nonce: UInt64 = 0
    var sentAt = Instant(nanoseconds: 0)
    /// The time until the first answer; 0: none yet.
    var microseconds: UInt32 = 0
  }

  private var entries = [Entry](repeating: Entry(), count: capacity)

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var used = entries.indices.filter { entries[$0].nonce != 0 }
    var count = used.count
    try coder.code(count: &count, atLeast: 24)
    if coder.isReading { used = Array(repeating: 0, count: count) }
    for slot in used {
      var index = UInt32(truncatingIfNeeded: slot)
      try coder.code(&index)
      guard Int(index) < Self.capacity else { throw coder.failure("there is no such challenge") }
      try coder.code(&entries[Int(index)].nonce)
      try coder.code(&entries[Int(index)].sentAt)
      try coder.code(&entries[Int(index)].microseconds)
    }
  }

  /// Records that a challenge with this nonce is sent.
  mutating func sent(_ nonce: RawSpan, now: Instant) {
    let name = Self.name(of: nonce)
    let index = Self.index(of: name)
    if entries[index].nonce != name { entries[index] = Entry(nonce: name, sentAt: now) }
  }

  /// Records that a request with this nonce of ours has arrived.
  mutating func answered(_ nonce: RawSpan, now: Instant) {
    let name = Self.name(of: nonce)
    let index = Self.index(of: name)
    guard entries[index].nonce == name, entries[index].microseconds == 0 else { return }
    let time = now.nanoseconds(since: entries[index].sentAt)
    if time <= Self.longest { entries[index].microseconds = UInt32(truncatingIfNeeded: time / 1000) }
  }

  /// An upper bound of the round trip of the client that has answered with this nonce; nil if it is unknown.
  func roundTripMicroseconds(of nonce: RawSpan) -> UInt32? {
    let name = Self.name(of: nonce)
    let entry = entries[Self.index(of: name)]
    return entry.nonce == name && entry.microseconds > 0 ? entry.microseconds : nil
  }

  /// The last eight characters: 48 bits of the nonce's MAC.
  private static func name(of nonce: RawSpan) -> UInt64 {
    nonce.byteCount < 8 ? 0 : nonce.bigEndian64(at: nonce.byteCount - 8)
  }

  private static func index(of name: UInt64) -> Int {
    Int(truncatingIfNeeded: (name &* 0x9E37_79B9_7F4A_7C15) >> 54)
  }
}
