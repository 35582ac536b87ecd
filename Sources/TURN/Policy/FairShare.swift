internal import NetworkTypes
internal import Synchronization
internal import Tables

/// The direction of media.
enum MediaDirection: Sendable {
  case toPeers
  case toClients
}

/// One value for each direction.
struct ByDirection<Value: BitwiseCopyable>: BitwiseCopyable {
  var toPeers: Value
  var toClients: Value

  init(_ value: Value) {
    toPeers = value
    toClients = value
  }

  @inline(__always)
  subscript(direction: MediaDirection) -> Value {
    get { direction == .toPeers ? toPeers : toClients }
    set { if direction == .toPeers { toPeers = newValue } else { toClients = newValue } }
  }
}

/// The rate of each allocation of a shard while a shared limit is reached.
///
/// The rate is found by trial, without counting the allocations or their demand: after a tenth of a second with a
/// refusal by the shared limit it falls by a quarter, otherwise it rises by an eighth, up to the shared limit. An
/// allocation that sends less than this rate loses nothing. Refusals are counted over all shards, so that every shard
/// has the same rate.
struct FairShare: BitwiseCopyable {
  /// The shared limit, and the present rate, in bytes a second.
  private let most: UInt64
  private var rate: UInt64
  private(set) var limit: RateLimit
  private var seenRefusals: UInt32 = 0
  private var hasRefused = false
  private var nextStep = Instant(nanoseconds: 0)

  private static let step = Duration.milliseconds(100)
  /// The minimum of the rate: one large datagram a second.
  private static let least: UInt64 = 1500

  /// Begins with the whole shared limit as the rate.
  init(of shared: ByteRate) {
    most = shared.perSecond.rawValue
    rate = most
    limit = RateLimit(shared)
  }

  /// Records that the shared limit has refused a datagram.
  ///
  /// - Parameter refusals: the counter of all shards; each shard adds at most one in each step.
  mutating func refuse(_ refusals: borrowing Atomic<UInt32>) {
    if hasRefused { return }
    hasRefused = true
    refusals.add(1, ordering: .relaxed)
  }

  /// - Parameter refusals: the counter of the process that writes or reads the record.
  mutating func code(with coder: inout RecordCoder, _ refusals: borrowing Atomic<UInt32>) throws(RecordError) {
    let count = refusals.load(ordering: .relaxed)
    var isNew = count != seenRefusals
    var next = rate
    try coder.code(&next)
    try coder.code(&isNew)
    try coder.code(&hasRefused)
    try coder.code(&nextStep)
    guard coder.isReading else { return }
    seenRefusals = isNew ? count &- 1 : count
    // The newer configuration may have another limit, or none.
    rate = min(max(next, min(Self.least, most)), most)
    if most > 0 { limit = RateLimit(perSecond: rate) }
  }

  /// Adapts the rate every tenth of a second.
  @inline(__always)
  mutating func advance(to now: Instant, _ refusals: borrowing Atomic<UInt32>) {
    if now >= nextStep, most > 0 { adapt(now, refusals.load(ordering: .relaxed)) }
  }

  private mutating func adapt(_ now: Instant, _ refusals: UInt32) {
    nextStep = now.advanced(by: Self.step)
    let next = refusals != seenRefusals ? max(rate - rate / 4, Self.least) : rate + rate / 8 + 1
    seenRefusals = refusals
    hasRefused = false
    guard min(next, most) != rate else { return }
    rate = min(next, most)
    limit = RateLimit(perSecond: rate)
  }
}
