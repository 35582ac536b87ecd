internal import NetworkTypes
internal import Synchronization
internal import Tables

/// The used bandwidth of users, realms and the server, over all shards, in each direction. A shard takes a slice of a
/// rate, not single packets. A fixed size of memory has room for 16,384 users and 256 realms.
public final class BandwidthPools: Sendable {
  /// The used bandwidth in one direction.
  final class Pools: Sendable {
    let users: RateTable
    let realms: RateTable
    /// The number of refusals by a limit, by the realm's number.
    let refusals = InlineArray<256, Atomic<UInt32>> { _ in Atomic(0) }

    init(seed: (UInt64, UInt64)) {
      users = RateTable(setCount: 4096, seed: seed)
      realms = RateTable(setCount: 1024, seed: (seed.1, seed.0))
    }
  }

  private let toPeers: Pools
  private let toClients: Pools

  public init(seed: (UInt64, UInt64)) {
    toPeers = Pools(seed: seed)
    toClients = Pools(seed: (~seed.0, ~seed.1))
  }

  @inline(__always)
  subscript(direction: MediaDirection) -> Pools { direction == .toPeers ? toPeers : toClients }
}

/// A limit on bytes a second that several allocations share.
struct SharedRate: BitwiseCopyable, Sendable {
  let limit: RateTable.Limit
  /// Bytes that are taken at a time: the rate's bytes in 4 ms.
  let slice: Int

  init(_ rate: ByteRate) {
    limit = RateTable.Limit(perSecond: rate.perSecond.rawValue)
    slice = Int(min(rate.perSecond.rawValue / 256, 1 << 24))
  }

  @inline(__always) var isUnlimited: Bool { limit.isUnlimited }
}

/// Bytes of a shared rate that an allocation or shard has taken and not used.
struct BandwidthLease: BitwiseCopyable {
  private var bytes = 0

  /// Datagrams up to this size count as audio, and are dropped last at a limit.
  static let audioSize = 300

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var value = Int64(bytes)
    try coder.code(&value)
    // A lease is at most a slice of the rate; a much larger number would overflow the sums.
    guard value.magnitude <= 1 << 40 else { throw coder.failure("a lease is too large") }
    bytes = Int(value)
  }

  /// Charges a datagram; false if the rate does not allow it.
  ///
  /// The last quarter of the rate's bucket is reserved for datagrams of the size of audio. They take only their own
  /// size from it, so that no rest of it is left for larger ones.
  @inline(__always)
  mutating func take(
    _ count: Int, _ rate: SharedRate, from table: RateTable, of subject: RateTable.Subject, now: Instant
  ) -> Bool {
    if bytes >= count {
      bytes -= count
      return true
    }
    return renew(count, rate, from: table, of: subject, now: now)
  }

  @inline(never)
  private mutating func renew(
    _ count: Int, _ rate: SharedRate, from table: RateTable, of subject: RateTable.Subject, now: Instant
  ) -> Bool {
    let slice = max(rate.slice, count)
    if table.spend(subject, count: slice, rate.limit, keeping: 1, now: now) {
      bytes += slice - count
      return true
    }
    return count <= Self.audioSize && table.spend(subject, count: count, rate.limit, keeping: 0, now: now)
  }

  /// Charges bytes of a stream, which cannot be dropped.
  ///
  /// - Returns: the nanoseconds for which reading must pause.
  mutating func charge(
    _ count: Int, _ rate: SharedRate, from table: RateTable, of subject: RateTable.Subject, now: Instant
  ) -> UInt64 {
    bytes -= count
    guard bytes < 0 else { return 0 }
    let slice = max(rate.slice, -bytes)
    bytes += slice
    return table.charge(subject, count: slice, rate.limit, now: now)
  }
}
