public import JSON
internal import NetworkTypes

/// The last hour of the server for the dashboard: a ring of one sample for each interval.
public struct History: Sendable {
  /// Counts of the server; all except `allocations` count from its start.
  public struct Counts: Sendable, Equatable {
    /// Live allocations.
    public var allocations = 0
    /// Bytes from clients to peers.
    public var bytesToPeers: UInt64 = 0
    /// Bytes from peers to clients.
    public var bytesToClients: UInt64 = 0
    /// Dropped packets.
    public var drops: UInt64 = 0
    /// Failed logins.
    public var failedLogins: UInt64 = 0

    public init() {}
  }

  /// Values of one interval; all except `allocations` are rates a second.
  struct Sample: Sendable, Equatable {
    var allocations: Int
    var toPeers: Double
    var toClients: Double
    var drops: Double
    var failedLogins: Double
  }

  /// The time between two samples.
  public static let interval = Duration.seconds(10)
  /// Limit of samples: one hour. A new sample then replaces the oldest.
  static let capacity = 360

  private var ring: [Sample] = []
  /// The index of the next sample, once the ring is full.
  private var position = 0
  private var last: Counts

  /// Begins with the present counts.
  public init(_ counts: Counts) { last = counts }

  /// Takes a sample, `time` after the last one.
  public mutating func record(_ counts: Counts, after time: Duration) {
    let seconds = time.fractionalSeconds
    let sample = Sample(
      allocations: counts.allocations,
      toPeers: Self.rate(last.bytesToPeers, counts.bytesToPeers, seconds),
      toClients: Self.rate(last.bytesToClients, counts.bytesToClients, seconds),
      drops: Self.rate(last.drops, counts.drops, seconds),
      failedLogins: Self.rate(last.failedLogins, counts.failedLogins, seconds))
    last = counts
    if ring.count < Self.capacity {
      ring.append(sample)
    } else {
      ring[position] = sample
      position = (position + 1) % Self.capacity
    }
  }

  private static func rate(_ before: UInt64, _ after: UInt64, _ seconds: Double) -> Double {
    guard after > before, seconds > 0 else { return 0 }
    return (Double(after - before) / seconds * 100).rounded() / 100
  }

  /// The samples, oldest first.
  var samples: [Sample] { Array(ring[position...] + ring[..<position]) }

  /// One list for each value, oldest first; `end` is the time of the last sample.
  public func document(end: String) -> JSONValue {
    let samples = samples
    func column(_ value: (Sample) -> Double) -> JSONValue { .array(samples.map { .double(value($0)) }) }
    return [
      "interval": .integer(Self.interval.components.seconds), "end": .string(end),
      "allocations": .array(samples.map { .integer(Int64($0.allocations)) }), "to-peers": column(\.toPeers),
      "to-clients": column(\.toClients), "drops": column(\.drops), "failed-logins": column(\.failedLogins),
    ]
  }
}
