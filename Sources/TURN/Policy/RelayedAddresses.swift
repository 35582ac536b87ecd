public import NetworkTypes
internal import Synchronization

/// Every relayed transport address the server can give out, and who has which: one word for a port of each relay
/// address, shared by all shards and read without a lock.
///
/// A port is claimed by compare-and-swap before its socket is opened, is live while an allocation has it, or is
/// reserved for whoever shows its token (RFC 8656 section 7.2, EVEN-PORT).
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

  /// The families that relayed addresses can be of.
  public func supports(_ family: IPAddress.Family) -> Bool { entries.contains { $0.local.family == family } }

  private func wordIndex(_ ordinal: Int, _ port: UInt16) -> Int? {
    guard entries.indices.contains(ordinal), ports.contains(port) else { return nil }
    return ordinal * ports.count + Int(port - ports.lowerBound)
  }

  private func state(_ index: Int) -> State {
    State(rawValue: unsafe words[index].load(ordering: .relaxed) & 3) ?? .free
  }

  @discardableResult
  private func change(_ ordinal: Int, _ port: UInt16, from old: State, to new: State) -> Bool {
    guard let index = wordIndex(ordinal, port) else { return false }
    return unsafe words[index].compareExchange(
      expected: old.rawValue, desired: new.rawValue, ordering: .acquiringAndReleasing
    ).exchanged
  }

  func claim(_ ordinal: Int, _ port: UInt16) -> Bool { change(ordinal, port, from: .free, to: .claimed) }
  func claimReserved(_ ordinal: Int, _ port: UInt16) -> Bool { change(ordinal, port, from: .reserved, to: .claimed) }
  func publish(_ ordinal: Int, _ port: UInt16) { change(ordinal, port, from: .claimed, to: .live) }
  func reserve(_ ordinal: Int, _ port: UInt16) { change(ordinal, port, from: .claimed, to: .reserved) }
  @discardableResult
  func releaseReservation(_ ordinal: Int, _ port: UInt16) -> Bool { change(ordinal, port, from: .reserved, to: .free) }

  /// Gives a claimed or live port back.
  func release(_ ordinal: Int, _ port: UInt16) {
    if !change(ordinal, port, from: .live, to: .free) { change(ordinal, port, from: .claimed, to: .free) }
  }

  /// Whether `address` is a relay address of ours, in its local or its advertised form.
  public func contains(_ address: IPAddress) -> Bool {
    entries.contains { $0.local == address || $0.advertised == address }
  }

  /// Whether an allocation of any shard has this relayed transport address, in its local or its advertised form.
  public func isLive(_ address: IPAddress, port: UInt16) -> Bool {
    for ordinal in entries.indices where entries[ordinal].local == address || entries[ordinal].advertised == address {
      if let index = wordIndex(ordinal, port), state(index) == .live { return true }
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
