internal import JSON
internal import Log
internal import Metrics
internal import NetworkTypes
internal import TURN

/// How an allocation's quality appears in the API and in the log.
extension AllocationQuality {
  /// Members are left out while they are unknown.
  var json: JSONValue {
    var members: [JSONValue.Member] = []
    if let fromClient { members.append(.init("from-client", fromClient.json)) }
    if let fromPeers { members.append(.init("from-peers", fromPeers.json)) }
    if let roundTrip { members.append(.init("round-trip-us", AdminView.number(roundTrip.wholeMicroseconds))) }
    return .object(members)
  }

  /// Fields are left out while they are unknown.
  var fields: [Log.Field] {
    var fields: [Log.Field] = []
    if let fromClient {
      if fromClient.basis == .rtp {
        fields.append(("from-client-rtp-packets", .number(fromClient.packets)))
        fields.append(("from-client-rtp-lost", .number(fromClient.lost)))
      }
      if let jitter = fromClient.jitter { fields.append(("from-client-jitter-us", .number(jitter.wholeMicroseconds))) }
    }
    if let fromPeers {
      if fromPeers.basis == .rtp {
        fields.append(("from-peers-rtp-packets", .number(fromPeers.packets)))
        fields.append(("from-peers-rtp-lost", .number(fromPeers.lost)))
      }
      if let jitter = fromPeers.jitter { fields.append(("from-peers-jitter-us", .number(jitter.wholeMicroseconds))) }
    }
    if let roundTrip { fields.append(("round-trip-us", .number(roundTrip.wholeMicroseconds))) }
    return fields
  }
}

extension MediaQuality {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = [.init("basis", .string(basis.rawValue))]
    if basis == .rtp {
      members += [
        .init("packets", AdminView.number(packets)), .init("lost", AdminView.number(lost)),
        .init("late", AdminView.number(UInt64(late))), .init("duplicates", AdminView.number(UInt64(duplicates))),
      ]
    }
    if let jitter { members.append(.init("jitter-us", AdminView.number(jitter.wholeMicroseconds))) }
    return .object(members)
  }
}

/// The quality of ended allocations, for metrics.
struct QualityCounts: Sendable {
  /// One side's media: RTP with at least `enoughPackets`.
  struct Side: Sendable {
    /// The ratio of lost packets, 0 to 1.
    private(set) var loss = Histogram(bounds: [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    /// The jitter, in seconds.
    private(set) var jitter = Histogram(bounds: [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5])

    /// The fewest packets of a stream whose loss is counted; the loss of fewer packets is mostly chance.
    static let enoughPackets: UInt64 = 100

    mutating func record(_ quality: MediaQuality?) {
      guard let quality, let ratio = quality.lossRatio, quality.packets >= Self.enoughPackets else { return }
      loss.record(ratio)
      if let jitter = quality.jitter { self.jitter.record(jitter.fractionalSeconds) }
    }
  }

  private(set) var fromClients = Side()
  private(set) var fromPeers = Side()
  /// The round-trip times, in seconds.
  private(set) var roundTrips = Histogram(
    bounds: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5])

  mutating func record(_ quality: AllocationQuality) {
    fromClients.record(quality.fromClient)
    fromPeers.record(quality.fromPeers)
    if let time = quality.roundTrip { roundTrips.record(time.fractionalSeconds) }
  }
}
