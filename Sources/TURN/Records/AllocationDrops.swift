internal import Tables

/// The datagrams of one allocation that were dropped, by kind of cause. The counts saturate.
public struct AllocationDrops: Sendable, Equatable {
  /// The kind of a cause.
  public enum Kind: UInt8, Sendable, CaseIterable {
    /// The peer has no permission.
    case noPermission
    /// The channel is not bound.
    case noChannel
    /// The peer rules forbid the peer.
    case forbiddenPeer
    /// A limit on bandwidth, or on datagrams with the DF bit.
    case bandwidth
    /// The datagram is too large for the client, of another family, or for port 0.
    case unsendable
    /// The queue of another shard was full.
    case busy
  }

  private var counts = InlineArray<6, UInt32>(repeating: 0)

  public init() {}

  public subscript(kind: Kind) -> UInt32 { counts[Int(kind.rawValue)] }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    for index in counts.indices { try coder.code(&counts[index]) }
  }

  mutating func count(_ kind: Kind) {
    let index = Int(kind.rawValue)
    if counts[index] < .max { counts[index] += 1 }
  }

  public static func == (a: AllocationDrops, b: AllocationDrops) -> Bool {
    Kind.allCases.allSatisfy { a[$0] == b[$0] }
  }
}

extension DropCause {
  /// The kind for the allocation's own counts; nil for causes without an allocation.
  var kindForAllocation: AllocationDrops.Kind? {
    switch self {
    case .noPermission: .noPermission
    case .noChannel: .noChannel
    case .forbiddenPeer: .forbiddenPeer
    case .overBandwidth, .overUserBandwidth, .overRealmBandwidth, .overServerBandwidth, .overUnfragmented: .bandwidth
    case .tooLarge, .familyMismatch, .invalidPeer: .unsendable
    case .shardBusy: .busy
    default: nil
    }
  }
}
