internal import Crypto
internal import NetworkTypes

/// Chooses relay ports at random (RFC 6056) and claims them in the table that all shards share.
///
/// A shard prefers the port pairs that are its own by number, `port >> 1` modulo the shards, so that shards seldom
/// meet; when those are taken, or the range is too small to share out, any port of the range will do.
struct PortPicker: ~Copyable {
  enum Parity {
    case any
    case even
    /// Even, and the next port claimed with it.
    case pair
  }

  private let relayed: RelayedAddresses
  private let shard: Int
  private let shardCount: Int
  private var generator: SeededGenerator

  init(relayed: RelayedAddresses, shard: Int, shardCount: Int, generator: consuming SeededGenerator) {
    self.relayed = relayed
    self.shard = shard
    self.shardCount = max(shardCount, 1)
    self.generator = generator
  }

  /// Which ports a walk over the range takes.
  private enum Choice {
    /// Of this shard, and not in quarantine.
    case own
    /// Of any shard, and not in quarantine.
    case any
    /// Any that is free: better a port that somebody has just left than none.
    case desperate
  }

  /// Claims a port of the family for `owner`; nil where every one is taken. For a pair the claim covers both.
  mutating func pick(
    _ family: IPAddress.Family, parity: Parity, for owner: PortOwner, now: Instant
  ) -> (ordinal: Int, port: UInt16)? {
    let ordinals = relayed.entries.indices.filter { relayed.entries[$0].local.family == family }
    guard !ordinals.isEmpty else { return nil }
    let first = Int(generator.next(below: UInt64(ordinals.count)))
    for choice in [Choice.own, .any, .desperate] {
      for step in ordinals.indices {
        let ordinal = ordinals[(first + step) % ordinals.count]
        if let port = pick(on: ordinal, parity: parity, choice, for: owner, now: now) { return (ordinal, port) }
      }
    }
    return nil
  }

  private mutating func pick(
    on ordinal: Int, parity: Parity, _ choice: Choice, for owner: PortOwner, now: Instant
  ) -> UInt16? {
    let count = relayed.ports.count
    let start = Int(generator.next(below: UInt64(count)))
    // A random stride without a common divisor with the count visits every port once, in an order nobody can guess.
    var stride = 1
    if count > 2 {
      repeat { stride = 1 + Int(generator.next(below: UInt64(count - 1))) } while greatestCommonDivisor(stride, count) != 1
    }
    let ignoresQuarantine = choice == .desperate
    var offset = start
    for _ in 0..<count {
      defer { offset = (offset + stride) % count }
      let port = Int(relayed.ports.lowerBound) + offset
      if choice == .own, (port >> 1) % shardCount != shard { continue }
      if parity != .any, port & 1 == 1 { continue }
      guard let candidate = UInt16(exactly: port) else { continue }
      if parity == .pair {
        guard relayed.ports.contains(candidate &+ 1), candidate < .max else { continue }
        guard relayed.claim(ordinal, candidate, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) else {
          continue
        }
        if relayed.claim(ordinal, candidate + 1, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) {
          return candidate
        }
        relayed.release(ordinal, candidate)
      } else if relayed.claim(ordinal, candidate, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) {
        return candidate
      }
    }
    return nil
  }

  /// A random number, for whatever else must not be guessed.
  mutating func random() -> UInt64 { generator.next() }

  private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}

/// Reservation tokens (RFC 8656 section 18.10) that any shard can read: which relayed transport address they are
/// for, and a MAC that makes them unguessable and good for the user alone that they were given to.
///
/// ```
///  +-----------------+---------------+--------------------------------------+
///  | ordinal (8 bit) | port (16 bit) | HMAC-SHA-256, first 5 bytes (40 bit) |
///  +-----------------+---------------+--------------------------------------+
/// ```
struct ReservationTokens: Sendable {
  private let key: [UInt8]

  init(key: [UInt8]) { self.key = Array("reservation".utf8) + key }

  func token(ordinal: Int, port: UInt16, username: [UInt8]) -> UInt64 {
    let head = UInt64(UInt8(truncatingIfNeeded: ordinal)) << 16 | UInt64(port)
    let input = [UInt8(truncatingIfNeeded: ordinal), UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] + username
    var context = HMACContext(.sha256)
    let mac = context.authenticate(input.span.rawBytes, key: key.span.rawBytes)
    return mac.array.prefix(5).reduce(head) { $0 << 8 | UInt64($1) }
  }

  /// What a token that is ours, and this user's, stands for.
  func read(_ token: UInt64, username: [UInt8]) -> (ordinal: Int, port: UInt16)? {
    let ordinal = Int(token >> 56)
    let port = UInt16(truncatingIfNeeded: token >> 40)
    return self.token(ordinal: ordinal, port: port, username: username) == token ? (ordinal, port) : nil
  }
}
