internal import TURN
internal import NetIO
internal import NetworkTypes
internal import Tables

/// The position of a listener in the plan, the same on all shards.
struct ListenerNumber: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  let rawValue: Int
}

extension [ListenerPlan] {
  subscript(number: ListenerNumber) -> ListenerPlan { self[number.rawValue] }
}

/// A UDP listener of one shard.
struct DatagramListener {
  let number: ListenerNumber
  let realm: RealmID
  /// Whether it is bound to every address, so that answers must set their source address.
  let isWildcard: Bool
  /// Whether it accepts unencrypted messages.
  private(set) var acceptsPlain: Bool
  /// Whether plain messages are accepted only because the listener distinguishes them by their first byte.
  private let acceptsPlainToo: Bool
  /// Whether it accepts DTLS.
  let acceptsSecure: Bool
  /// The number of bursts (datagrams of one size from one source in one turn), until merging is switched on.
  fileprivate var runs = 0
  private var watch = TrafficClassWatch()

  init(_ plan: ListenerPlan, number: ListenerNumber, isWildcard: Bool) {
    self.number = number
    self.isWildcard = isWildcard
    realm = plan.realm
    acceptsPlain = plan.transport == .udp || plan.auto
    acceptsPlainToo = plan.transport != .udp && plan.auto
    acceptsSecure = plan.transport == .dtls || plan.auto
  }

  /// With client certificates, only DTLS is accepted on a DTLS listener.
  fileprivate mutating func require(clientCertificate isRequired: Bool) {
    if acceptsPlainToo { acceptsPlain = !isRequired }
  }

  /// Counts a datagram's traffic class; true if `switchOver` must be called.
  @inline(__always)
  mutating func count(trafficClass: UInt8) -> Bool { watch.count(trafficClass) }

  /// Starts or stops the kernel's reports of the traffic class.
  mutating func switchOver(_ descriptor: Int32, _ family: IPAddress.Family) { watch.switchOver(descriptor, family) }
}

/// The UDP listeners of one shard.
struct DatagramListeners {
  /// The listeners by the slots of their sockets, which are never removed.
  private var records: [DatagramListener] = []
  /// The sockets by listener number; none for streams.
  private var sockets: [OptionalSlot<UDPSocket>]
  /// The source and size of the last datagram of this turn.
  private var lastSource = SocketAddress.none
  private var lastByteCount = 0

  /// The number of bursts before UDP_GRO is switched on.
  static let runsBeforeMerging = 256

  /// - Parameter count: the number of listeners in the plan.
  init(count: Int) { sockets = [OptionalSlot](repeating: OptionalSlot(), count: count) }

  /// Adds a listener whose socket has this slot, which must be the next one.
  mutating func append(_ listener: DatagramListener, socket: Slot<UDPSocket>) {
    precondition(Int(socket.index) == records.count)
    records.append(listener)
    sockets[listener.number.rawValue] = OptionalSlot(socket)
  }

  mutating func require(clientCertificate isRequired: Bool) {
    for index in records.indices { records[index].require(clientCertificate: isRequired) }
  }

  func contains(_ socket: Slot<UDPSocket>) -> Bool { Int(socket.index) < records.count }

  subscript(socket: Slot<UDPSocket>) -> DatagramListener {
    @inline(__always) get { records[Int(socket.index)] }
    @inline(__always) _modify { yield &records[Int(socket.index)] }
  }

  /// The socket of a listener; nil if the listener is for streams.
  @inline(__always)
  func socket(of listener: ListenerNumber) -> Slot<UDPSocket>? { sockets[listener.rawValue].slot }

  mutating func beginTurn() {
    lastSource = .none
    lastByteCount = 0
  }

  /// Counts a datagram. True once, after `runsBeforeMerging` bursts: then the caller switches UDP_GRO on.
  @inline(__always)
  mutating func countRun(_ socket: Slot<UDPSocket>, _ source: SocketAddress, _ byteCount: Int) -> Bool {
    let index = Int(socket.index)
    guard records[index].runs < Self.runsBeforeMerging else { return false }
    let isRun = byteCount == lastByteCount && source == lastSource
    (lastSource, lastByteCount) = (source, byteCount)
    guard isRun else { return false }
    records[index].runs += 1
    return records[index].runs == Self.runsBeforeMerging
  }
}
