public import NetworkTypes
internal import STUN
internal import Synchronization

/// The state of every relayed transport address of the server: one word for each port of each relay address. All shards
/// share it without a lock.
///
/// A port is claimed by compare-and-swap before its socket is opened, live while an allocation has it, or reserved for
/// the user with its token (RFC 8656 section 7.2, EVEN-PORT). For a minute after its allocation has ended only its last
/// user gets it again, so that late packets of that user's peers reach no other client. If no other port is free, any
/// user gets it.
///
/// ```
///  +---------------------------+---------------------+---------------+
///  | time, in seconds (29 bit) | last owner (32 bit) | state (3 bit) |
///  +---------------------------+---------------------+---------------+
///    while live: the shard; else when the port was reserved or its allocation ended
/// ```
///
/// A port number is used for UDP or for TCP, never for both at once.
///
/// The addresses are immutable. For another advertised address `advertising` makes a copy with the same ports, which
/// each shard gets with its settings.
@safe
public final class RelayedAddresses: Sendable {
  /// A local address on which relays listen, and its advertised address (the same without a 1:1 NAT).
  public struct Entry: Equatable, Sendable {
    public let local: IPAddress
    public let advertised: IPAddress

    public init(local: IPAddress, advertised: IPAddress) {
      self.local = local
      self.advertised = advertised
    }
  }

  /// An earlier entry, and the time since which another address is advertised in its place.
  public struct Former: Equatable, Sendable {
    public let local: IPAddress
    public let advertised: IPAddress
    public let since: Instant

    public init(_ entry: Entry, since: Instant) {
      local = entry.local
      advertised = entry.advertised
      self.since = since
    }
  }

  enum State: UInt64 {
    case free = 0
    case claimed = 1
    case live = 2
    case reserved = 3
    /// Live for TCP.
    case liveTCP = 4
    /// Live in the older process, from which this one has taken over.
    case foreign = 5
    case foreignTCP = 6

    static func live(_ transport: RelayTransport) -> State { transport == .tcp ? .liveTCP : .live }

    static func foreign(_ transport: RelayTransport) -> State { transport == .tcp ? .foreignTCP : .foreign }

    static let mask: UInt64 = 7
  }

  /// The relay addresses; `RelayedAddress.ordinal` is an index here.
  public let entries: [Entry]
  /// Addresses that were advertised before, newest first: live allocations may have them. At most `formerLimit`, and for
  /// `formerTime`.
  public let former: [Former]
  /// The range of relay ports, which each relay address has.
  public let ports: ClosedRange<UInt16>
  /// Whether any advertised address differs or differed from its local one.
  public let hasTranslations: Bool

  // The words of `portWords`, which lives as long as this object. They are accessed by atomic operations only. Every
  // index comes from `wordIndex`, which is nil for an address or a port that is not ours.
  nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
  let portWords: PortWords
  var wordCount: Int { portWords.count }
  /// Whether another process has taken over, and this one only drains.
  var hasSuccessor: Bool { portWords.hasSuccessor.load(ordering: .relaxed) }

  public convenience init(entries: [Entry], ports: ClosedRange<UInt16>) {
    self.init(
      entries: entries, former: [], ports: ports, portWords: PortWords(count: max(entries.count * ports.count, 1)))
  }

  init(entries: [Entry], former: [Former], ports: ClosedRange<UInt16>, portWords: PortWords) {
    self.entries = entries
    self.former = former
    self.ports = ports
    self.portWords = portWords
    unsafe words = portWords.words
    hasTranslations = !former.isEmpty || entries.contains { $0.local != $0.advertised }
  }

  /// A relayed transport address in its local form, as a key.
  @inline(__always)
  func key(of address: SocketAddress) -> FlatKey {
    FlatKey(UInt64(address.port) | UInt64(address.family.rawValue) << 16, address.address.high, address.address.low)
  }

  func key(_ address: RelayedAddress) -> FlatKey { key(of: local(address)) }

  /// The local form of a relayed transport address, for the kernel.
  @inline(__always)
  func local(_ address: RelayedAddress) -> SocketAddress {
    SocketAddress(entries[Int(address.ordinal)].local, port: address.port)
  }

  /// The IP address that a new allocation is told for this relayed transport address.
  func advertised(_ address: RelayedAddress) -> IPAddress { entries[Int(address.ordinal)].advertised }

  /// Whether a relay address has this local IP address.
  @inline(__always)
  func mayBeLocal(_ address: IPAddress) -> Bool {
    for index in entries.indices where entries[index].local == address { return true }
    return false
  }

  /// Whether there is a relay address of the family.
  public func supports(_ family: IPAddress.Family) -> Bool { entries.contains { $0.local.family == family } }

  func wordIndex(_ address: RelayedAddress) -> Int? {
    let ordinal = Int(address.ordinal)
    guard entries.indices.contains(ordinal), ports.contains(address.port) else { return nil }
    return ordinal * ports.count + Int(address.port - ports.lowerBound)
  }

  func state(_ index: Int) -> State {
    State(rawValue: unsafe words[index].load(ordering: .relaxed) & State.mask) ?? .free
  }

  /// Changes the state of a port; every change except `quarantine` keeps its last owner.
  @discardableResult
  private func change(_ address: RelayedAddress, from old: State, to new: State) -> Bool {
    guard let index = wordIndex(address) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == old.rawValue else { return false }
    return replace(index, word, by: word & ~State.mask | new.rawValue)
  }

  func replace(_ index: Int, _ word: UInt64, by new: UInt64) -> Bool {
    unsafe words[index].compareExchange(expected: word, desired: new, ordering: .acquiringAndReleasing).exchanged
  }

  /// The time for which other users do not get a closed port.
  static let quarantine = Duration.seconds(60)
  private static let timeMask: UInt64 = 1 << 29 - 1

  /// Seconds of the monotonic clock, never 0: 0 means a port that was never live.
  private static func seconds(_ now: Instant) -> UInt64 { (now.nanoseconds / 1_000_000_000 + 1) & timeMask }

  /// Claims a free port. A port in quarantine can be claimed only for its last owner, or with `ignoresQuarantine`.
  func claim(_ address: RelayedAddress, for owner: PortOwner, now: Instant, ignoresQuarantine: Bool) -> Bool {
    guard let index = wordIndex(address) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.free.rawValue else { return false }
    let left = word >> 35
    if left != 0, !ignoresQuarantine, word >> 3 & 0xFFFF_FFFF != UInt64(owner.tag),
      (Self.seconds(now) &- left) & Self.timeMask < UInt64(Self.quarantine.wholeSeconds)
    {
      return false
    }
    return replace(index, word, by: word & ~State.mask | State.claimed.rawValue)
  }

  /// Claims a reserved port for the user with its token.
  func claimReserved(_ address: RelayedAddress) -> Bool {
    guard let index = wordIndex(address) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.reserved.rawValue else { return false }
    return replace(index, word, by: State.claimed.rawValue)
  }

  /// Reserves a claimed port for the user with its token. Returns the stamp for `releaseReservation`, a time in
  /// seconds, so that the end of one reservation does not end a later one of the same port.
  func reserve(_ address: RelayedAddress, now: Instant) -> UInt32 {
    let stamp = Self.seconds(now)
    if let index = wordIndex(address) {
      let word = unsafe words[index].load(ordering: .relaxed)
      if word & State.mask == State.claimed.rawValue {
        _ = replace(index, word, by: stamp << 35 | word & (0xFFFF_FFFF << 3) | State.reserved.rawValue)
      }
    }
    return UInt32(truncatingIfNeeded: stamp)
  }

  /// Whether the reservation with this stamp still waits for its token.
  func isReserved(_ address: RelayedAddress, stamp: UInt32) -> Bool {
    guard let index = wordIndex(address) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    return word & State.mask == State.reserved.rawValue && word >> 35 == UInt64(stamp)
  }

  /// Frees a reserved port whose token was not used.
  func releaseReservation(_ address: RelayedAddress, stamp: UInt32) {
    guard let index = wordIndex(address) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.reserved.rawValue, word >> 35 == UInt64(stamp) else { return }
    // The port was never live, so it needs no quarantine.
    _ = replace(index, word, by: State.free.rawValue)
  }

  /// Makes a claimed port live, for an allocation of this shard.
  func publish(_ address: RelayedAddress, _ transport: RelayTransport = .udp, shard: Int) {
    guard let index = wordIndex(address) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.claimed.rawValue else { return }
    let owner = word & ~(Self.timeMask << 35) & ~State.mask
    _ = replace(index, word, by: UInt64(truncatingIfNeeded: shard) << 35 | owner | State.live(transport).rawValue)
  }

  /// The shard with the live UDP relayed transport address of this local form; nil if there is none.
  @inline(__always)
  func shard(of address: SocketAddress) -> Int? {
    for ordinal in entries.indices where entries[ordinal].local == address.address {
      guard let index = wordIndex(RelayedAddress(ordinal, address.port)) else { continue }
      let word = unsafe words[index].load(ordering: .acquiring)
      if word & State.mask == State.live.rawValue { return Int(word >> 35) }
    }
    return nil
  }

  /// Frees a claimed port that was never live.
  func release(_ address: RelayedAddress) { change(address, from: .claimed, to: .free) }

  /// Frees a live port. Other users can get it after the quarantine.
  func quarantine(_ address: RelayedAddress, from owner: PortOwner, now: Instant) {
    guard let index = wordIndex(address) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    let state = State(rawValue: word & State.mask)
    guard state == .live || state == .liveTCP else { return }
    _ = replace(index, word, by: Self.seconds(now) << 35 | UInt64(owner.tag) << 3 | State.free.rawValue)
  }
}
