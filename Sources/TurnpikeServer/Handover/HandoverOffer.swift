internal import NetworkTypes
internal import TURN
internal import Tables

/// The first message of the older process to the newer one: facts that must be the same in both, or that never change.
struct HandoverOffer: Sendable, Equatable {
  /// The version of the messages; the records have their own.
  static let version: UInt16 = 1

  struct Listener: Sendable, Equatable {
    var isStream = false
    var address = SocketAddress.none
  }

  /// The program's version, for the log.
  var program: [UInt8] = []
  /// The number of shards.
  var workers: UInt16 = 0
  var listeners: [Listener] = []
  /// The realms by number.
  var realms: [[UInt8]] = []
  /// The local addresses of relays, by index.
  var relayAddresses: [IPAddress] = []
  /// The addresses that clients get for `relayAddresses`, then the former ones, newest first.
  var advertised: [RelayedAddresses.Entry] = []
  /// The time since which each of `advertised` is a former one; nil for those that clients get. Both processes have the
  /// same monotonic clock.
  var formerSince: [Instant?] = []
  /// `ServerState.sharedKey`.
  var sharedKey: [UInt8] = []
  /// The key of DTLS cookies.
  var cookieKey: [UInt8] = []
  /// `Relay.Identity.seed` of each shard.
  var seeds: [[UInt8]] = []
  var upgrades = UpgradeCounts()
  /// `Server.demoSecret` and `Server.roomSecret`; empty without the demo page.
  var demoSecret: [UInt8] = []
  var roomSecret: [UInt8] = []

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var version = Self.version
    try coder.code(&version)
    guard version == Self.version else { throw coder.failure("the handover has an unknown version") }
    try coder.code(&program)
    try coder.code(&workers)
    try coder.codeList(&listeners, Listener()) { coder, listener throws(RecordError) in
      try coder.code(&listener.isStream)
      try coder.code(&listener.address)
    }
    try coder.codeList(&realms, []) { coder, realm throws(RecordError) in try coder.code(&realm) }
    try coder.codeList(&relayAddresses, .ipv4Any) { coder, address throws(RecordError) in try coder.code(&address) }
    try coder.code(&sharedKey)
    try coder.code(&cookieKey)
    try coder.codeList(&seeds, []) { coder, seed throws(RecordError) in try coder.code(&seed) }
    guard sharedKey.count == 32, seeds.count == Int(workers), seeds.allSatisfy({ $0.count == 32 }) else {
      throw coder.failure("a key is missing")
    }
    // An older program's offer may end here.
    if coder.hasMore || !coder.isReading { try codeRest(with: &coder) }
  }

  private mutating func codeRest(with coder: inout RecordCoder) throws(RecordError) {
    try upgrades.code(with: &coder)
    try coder.code(&demoSecret)
    try coder.code(&roomSecret)
    let none = RelayedAddresses.Entry(local: .ipv4Any, advertised: .ipv4Any)
    try coder.codeList(&advertised, none) { coder, entry throws(RecordError) in
      var (local, advertised) = (entry.local, entry.advertised)
      try coder.code(&local)
      try coder.code(&advertised)
      guard local.family == advertised.family else { throw coder.failure("two addresses are of two families") }
      entry = RelayedAddresses.Entry(local: local, advertised: advertised)
    }
    if coder.hasMore || !coder.isReading {
      try coder.codeList(&formerSince, nil) { coder, since throws(RecordError) in
        var nanoseconds = since?.nanoseconds ?? 0
        try coder.code(&nanoseconds)
        since = nanoseconds > 0 ? Instant(nanoseconds: nanoseconds) : nil
      }
    }
  }

  /// Maps the older process's numbers to those of the new configuration.
  ///
  /// - Parameter endpoints: the listeners of the older process's endpoints.
  func mapping(
    realms names: [String], relayed: RelayedAddresses, listeners plans: [ListenerPlan], endpoints: [UInt16]
  ) -> HandoverMapping {
    HandoverMapping(
      realms: realms.map { realm in
        names.firstIndex(of: String(decoding: realm, as: UTF8.self)).map {
          RealmID(rawValue: UInt8(truncatingIfNeeded: $0))
        }
      },
      ordinals: relayOrdinals(relayed),
      endpoints: endpoints.map { number(ofListener: Int($0), in: plans) != nil })
  }

  func relayOrdinals(_ relayed: RelayedAddresses) -> [UInt8?] {
    relayAddresses.map { address in
      relayed.entries.firstIndex { $0.local == address }.map { UInt8(truncatingIfNeeded: $0) }
    }
  }

  /// The number of an older listener in the new plan; nil if it is gone.
  func number(ofListener old: Int, in plans: [ListenerPlan]) -> ListenerNumber? {
    guard listeners.indices.contains(old) else { return nil }
    let listener = listeners[old]
    return plans.firstIndex { $0.transport.isStream == listener.isStream && $0.address == listener.address }.map {
      ListenerNumber(rawValue: $0)
    }
  }

  /// Whether the older process has a socket for a listener of ours.
  func has(_ plan: ListenerPlan) -> Bool {
    listeners.contains { $0.isStream == plan.transport.isStream && $0.address == plan.address }
  }
}

extension RecordCoder {
  /// A list of at most 65,536 elements.
  mutating func codeList<Element>(
    _ list: inout [Element], _ empty: Element,
    _ body: (inout RecordCoder, inout Element) throws(RecordError) -> Void
  ) throws(RecordError) {
    var count = list.count
    try code(count: &count)
    guard !isReading || count <= 65_536 else { throw failure("a list is too long") }
    if isReading { list = Array(repeating: empty, count: count) }
    for index in list.indices { try body(&self, &list[index]) }
  }
}

/// The records of one shard.
struct HandoverPackage: Sendable {
  /// The records of `Relay.export`.
  var relay: [UInt8] = []
  /// The records of `Shard.exportEngine`.
  var engine: [UInt8] = []
  /// Open descriptors, which the engine's records name by index. In the older process the shard owns them; in the newer
  /// one, the code that takes the package owns them.
  var descriptors: [Int32] = []
  var counts = HandoverCounts()

  /// Limits of received bytes and descriptors, far above what the limits of a shard allow.
  static let byteLimit = 512 << 20
  static let descriptorLimit = 1 << 20
}

/// The numbers of records that were handed over, for logs and operators.
struct HandoverCounts: Sendable, Equatable {
  var allocations = 0
  var relays = 0
  var connections = 0
  /// Allocations that stay with the older process, which drains them.
  var kept = 0

  mutating func add(_ other: HandoverCounts) {
    allocations += other.allocations
    relays += other.relays
    connections += other.connections
    kept += other.kept
  }
}

/// The upgrades of this server since its first process, for metrics: each process adds its own.
struct UpgradeCounts: Sendable, Equatable {
  var done: UInt64 = 0
  var failed: UInt64 = 0
  /// Allocations that went from one process to the next, and those that stayed with the older one.
  var moved: UInt64 = 0
  var kept: UInt64 = 0

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&done)
    try coder.code(&failed)
    try coder.code(&moved)
    try coder.code(&kept)
  }

  mutating func add(_ counts: HandoverCounts) {
    done &+= 1
    moved &+= UInt64(clamping: counts.allocations)
    kept &+= UInt64(clamping: counts.kept)
  }
}
