internal import Crypto
internal import NetworkTypes
internal import Tables

/// Chooses relay ports at random (RFC 6056) and claims them in the shared table.
///
/// A shard prefers its own port pairs, by `port >> 1` modulo the number of shards, so that shards seldom compete. If
/// those are taken, or the range is too small, it takes any port of the range.
struct PortPicker: ~Copyable {
  enum Parity {
    case any
    case even
    /// An even port; the next port is claimed with it.
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

  /// The ports that a search of the range accepts.
  private enum Choice {
    /// Ports of this shard that are not in quarantine.
    case own
    /// Ports of any shard that are not in quarantine.
    case any
    /// Every free port, also in quarantine: a recently closed port is better than none.
    case ignoringQuarantine
  }

  /// Claims a port of the family for `owner`; nil if every one is taken. For a pair the claim covers both.
  mutating func pick(
    _ family: IPAddress.Family, parity: Parity, for owner: PortOwner, now: Instant
  ) -> RelayedAddress? {
    let ordinals = relayed.entries.indices.filter { relayed.entries[$0].local.family == family }
    guard !ordinals.isEmpty else { return nil }
    let first = Int(generator.next(below: UInt64(ordinals.count)))
    for choice in [Choice.own, .any, .ignoringQuarantine] {
      for step in ordinals.indices {
        let ordinal = ordinals[(first + step) % ordinals.count]
        if let port = pick(on: ordinal, parity: parity, choice, for: owner, now: now) {
          return port
        }
      }
    }
    return nil
  }

  private mutating func pick(
    on ordinal: Int, parity: Parity, _ choice: Choice, for owner: PortOwner, now: Instant
  ) -> RelayedAddress? {
    let count = relayed.ports.count
    let start = Int(generator.next(below: UInt64(count)))
    // A random stride without a common divisor with the count visits every port once, in an order that cannot be
    // guessed.
    var stride = 1
    if count > 2 {
      repeat {
        stride = 1 + Int(generator.next(below: UInt64(count - 1)))
      } while greatestCommonDivisor(stride, count) != 1
    }
    let ignoresQuarantine = choice == .ignoringQuarantine
    var offset = start
    for _ in 0..<count {
      defer { offset = (offset + stride) % count }
      let port = Int(relayed.ports.lowerBound) + offset
      if choice == .own, (port >> 1) % shardCount != shard { continue }
      if parity != .any, port & 1 == 1 { continue }
      guard let number = UInt16(exactly: port) else { continue }
      let candidate = RelayedAddress(ordinal, number)
      if parity == .pair {
        guard relayed.ports.contains(number &+ 1), number < .max else { continue }
        guard relayed.claim(candidate, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) else {
          continue
        }
        if relayed.claim(candidate.next, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) {
          return candidate
        }
        relayed.release(candidate)
      } else if relayed.claim(candidate, for: owner, now: now, ignoresQuarantine: ignoresQuarantine) {
        return candidate
      }
    }
    return nil
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var position = generator.position
    try coder.code(&position)
    if coder.isReading { generator.move(to: position) }
  }

  /// A random number, for other values that must not be guessed.
  mutating func random() -> UInt64 { generator.next() }

  private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}
