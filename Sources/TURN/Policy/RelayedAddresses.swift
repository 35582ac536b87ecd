public import NetworkTypes
public import STUN
internal import Synchronization

/// Every relayed transport address the server can give out, and who has which: one word for a port of each relay
/// address, shared by all shards and read without a lock.
///
/// A port is claimed by compare-and-swap before its socket is opened, is live while an allocation has it, or is
/// reserved for whoever shows its token (RFC 8656 section 7.2, EVEN-PORT). One that was live is kept from everybody
/// but its last user for a minute, so that late packets of his peers reach nobody else; it yields when no other port
/// is free.
///
/// ```
///  +---------------------------+---------------------+---------------+
///  | left, in seconds (29 bit) | last owner (32 bit) | state (3 bit) |
///  +---------------------------+---------------------+---------------+
///    while live: the shard
/// ```
///
/// A number is given out for UDP or for TCP, never for both at once.
@safe
public final class RelayedAddresses: Sendable {
  /// A local address that relays bind, and the address that clients are told (the same without a 1:1 NAT).
  public struct Entry: Equatable, Sendable {
    public let local: IPAddress
    public let advertised: IPAddress

    public init(local: IPAddress, advertised: IPAddress) {
      self.local = local
      self.advertised = advertised
    }
  }

  enum State: UInt64 {
    case free = 0
    case claimed = 1
    case live = 2
    case reserved = 3
    /// Live, for TCP.
    case liveTCP = 4

    static func live(_ transport: RelayTransport) -> State { transport == .tcp ? .liveTCP : .live }

    static let mask: UInt64 = 7
  }

  public let entries: [Entry]
  public let ports: ClosedRange<UInt16>
  /// Whether any address is advertised as another.
  public let hasTranslations: Bool

  // Initialised in init, freed in deinit, never replaced; only atomic operations touch the words.
  nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let wordCount: Int

  public init(entries: [Entry], ports: ClosedRange<UInt16>) {
    self.entries = entries
    self.ports = ports
    hasTranslations = entries.contains { $0.local != $0.advertised }
    wordCount = max(entries.count * ports.count, 1)
    unsafe words = .allocate(capacity: wordCount)
    for index in 0..<wordCount { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: wordCount)
    unsafe words.deallocate()
  }

  /// A relayed transport address in its local form, as a key.
  @inline(__always)
  func key(of address: SocketAddress) -> FlatKey {
    FlatKey(UInt64(address.port) | UInt64(address.family.rawValue) << 16, address.address.high, address.address.low)
  }

  func key(_ ordinal: Int, _ port: UInt16) -> FlatKey { key(of: SocketAddress(entries[ordinal].local, port: port)) }

  /// Whether relayed addresses, in their local form, have this IP address.
  @inline(__always)
  func mayBeLocal(_ address: IPAddress) -> Bool {
    for index in entries.indices where entries[index].local == address { return true }
    return false
  }

  /// The families that relayed addresses can be of.
  public func supports(_ family: IPAddress.Family) -> Bool { entries.contains { $0.local.family == family } }

  private func wordIndex(_ ordinal: Int, _ port: UInt16) -> Int? {
    guard entries.indices.contains(ordinal), ports.contains(port) else { return nil }
    return ordinal * ports.count + Int(port - ports.lowerBound)
  }

  private func state(_ index: Int) -> State {
    State(rawValue: unsafe words[index].load(ordering: .relaxed) & State.mask) ?? .free
  }

  /// What is known of who had the port last stays with it through every change but `quarantine`.
  @discardableResult
  private func change(_ ordinal: Int, _ port: UInt16, from old: State, to new: State) -> Bool {
    guard let index = wordIndex(ordinal, port) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == old.rawValue else { return false }
    return replace(index, word, by: word & ~State.mask | new.rawValue)
  }

  private func replace(_ index: Int, _ word: UInt64, by new: UInt64) -> Bool {
    unsafe words[index].compareExchange(expected: word, desired: new, ordering: .acquiringAndReleasing).exchanged
  }

  /// Seconds for which a port that was live is kept from other users.
  static let quarantineSeconds: UInt64 = 60
  private static let timeMask: UInt64 = 1 << 29 - 1

  /// Seconds of the monotonic clock, from one on: 0 is a port that nobody has had.
  private static func seconds(_ now: Instant) -> UInt64 { (now.nanoseconds / 1_000_000_000 + 1) & timeMask }

  /// Claims a free port, unless it is in quarantine from this owner and that is not to be ignored.
  func claim(_ ordinal: Int, _ port: UInt16, for owner: PortOwner, now: Instant, ignoresQuarantine: Bool) -> Bool {
    guard let index = wordIndex(ordinal, port) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.free.rawValue else { return false }
    let left = word >> 35
    if left != 0, !ignoresQuarantine, word >> 3 & 0xFFFF_FFFF != UInt64(owner.tag),
      (Self.seconds(now) &- left) & Self.timeMask < Self.quarantineSeconds
    {
      return false
    }
    return replace(index, word, by: word & ~State.mask | State.claimed.rawValue)
  }

  /// Claims a reserved port for whoever has shown its token.
  func claimReserved(_ ordinal: Int, _ port: UInt16) -> Bool {
    guard let index = wordIndex(ordinal, port) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.reserved.rawValue else { return false }
    return replace(index, word, by: State.claimed.rawValue)
  }

  /// Keeps a claimed port for whoever shows its token. Returns the stamp that `releaseReservation` asks for: a number
  /// of seconds, so that the end of one reservation is not that of a later one of the same port.
  func reserve(_ ordinal: Int, _ port: UInt16, now: Instant) -> UInt32 {
    let stamp = Self.seconds(now)
    if let index = wordIndex(ordinal, port) {
      let word = unsafe words[index].load(ordering: .relaxed)
      if word & State.mask == State.claimed.rawValue {
        _ = replace(index, word, by: stamp << 35 | word & (0xFFFF_FFFF << 3) | State.reserved.rawValue)
      }
    }
    return UInt32(truncatingIfNeeded: stamp)
  }

  /// Whether nobody has come yet for what was reserved under this stamp.
  func isReserved(_ ordinal: Int, _ port: UInt16, stamp: UInt32) -> Bool {
    guard let index = wordIndex(ordinal, port) else { return false }
    let word = unsafe words[index].load(ordering: .relaxed)
    return word & State.mask == State.reserved.rawValue && word >> 35 == UInt64(stamp)
  }

  /// Gives back a port that nobody has come for.
  func releaseReservation(_ ordinal: Int, _ port: UInt16, stamp: UInt32) {
    guard let index = wordIndex(ordinal, port) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.reserved.rawValue, word >> 35 == UInt64(stamp) else { return }
    // Nobody has had it: no quarantine.
    _ = replace(index, word, by: State.free.rawValue)
  }

  /// A claimed port has its allocation now, on this shard.
  func publish(_ ordinal: Int, _ port: UInt16, _ transport: RelayTransport = .udp, shard: Int) {
    guard let index = wordIndex(ordinal, port) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    guard word & State.mask == State.claimed.rawValue else { return }
    let owner = word & ~(Self.timeMask << 35) & ~State.mask
    _ = replace(index, word, by: UInt64(truncatingIfNeeded: shard) << 35 | owner | State.live(transport).rawValue)
  }

  /// The shard whose allocation has this relayed transport address for UDP, in its local form; nil where none has.
  @inline(__always)
  func shard(of address: SocketAddress) -> Int? {
    for ordinal in entries.indices where entries[ordinal].local == address.address {
      guard let index = wordIndex(ordinal, address.port) else { continue }
      let word = unsafe words[index].load(ordering: .acquiring)
      if word & State.mask == State.live.rawValue { return Int(word >> 35) }
    }
    return nil
  }

  /// Gives back a claimed port that was never live.
  func release(_ ordinal: Int, _ port: UInt16) { change(ordinal, port, from: .claimed, to: .free) }

  /// Gives back a live port, which others than its owner get again after a while.
  func quarantine(_ ordinal: Int, _ port: UInt16, from owner: PortOwner, now: Instant) {
    guard let index = wordIndex(ordinal, port) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    let state = State(rawValue: word & State.mask)
    guard state == .live || state == .liveTCP else { return }
    _ = replace(index, word, by: Self.seconds(now) << 35 | UInt64(owner.tag) << 3 | State.free.rawValue)
  }

  /// Whether `address` is a relay address of ours, in its local or its advertised form.
  public func contains(_ address: IPAddress) -> Bool {
    entries.contains { $0.local == address || $0.advertised == address }
  }

  /// Whether an allocation of any shard has this relayed transport address, in its local or its advertised form.
  public func isLive(_ address: IPAddress, port: UInt16, _ transport: RelayTransport = .udp) -> Bool {
    for ordinal in entries.indices where entries[ordinal].local == address || entries[ordinal].advertised == address {
      if let index = wordIndex(ordinal, port), state(index) == .live(transport) { return true }
    }
    return false
  }

  /// Where to send for a peer address that a client named: the local address behind one that we advertise.
  public func translated(_ address: IPAddress) -> IPAddress {
    for entry in entries where entry.advertised == address { return entry.local }
    return address
  }

  /// The advertised form of a local relay address; nil where it has none of its own.
  func advertised(for local: IPAddress) -> IPAddress? {
    for entry in entries where entry.local == local && entry.advertised != local { return entry.advertised }
    return nil
  }
}

/// Who has a relay port, in 32 bits: the user, or without credentials the client's address. Two users of one tag
/// only mean that one may have the other's port a minute early.
struct PortOwner {
  let tag: UInt32

  init(username: [UInt8], client: ClientPath) {
    // FNV-1a.
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in username { mix(byte) }
    if username.isEmpty {
      let address = client.address.address
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        mix(UInt8(truncatingIfNeeded: address.high >> shift))
        mix(UInt8(truncatingIfNeeded: address.low >> shift))
      }
    }
    tag = UInt32(truncatingIfNeeded: hash >> 32 ^ hash)
  }
}
