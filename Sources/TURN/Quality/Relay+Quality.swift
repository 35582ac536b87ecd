internal import NetworkTypes
internal import STUN
public import Tables

/// Measures how media and requests reach the relay.
extension Relay {
  /// Makes the records of an allocation that will have media, so that the path of a packet makes none.
  mutating func beginQuality(of slot: Slot<Allocation>) {
    guard allocations[slot].transport == .udp, allocations[slot].quality.toPeers.slot == nil else { return }
    allocations[slot].quality.toPeers = OptionalSlot(qualities.insert(PathQuality()))
    allocations[slot].quality.toClients = OptionalSlot(qualities.insert(PathQuality()))
  }

  mutating func endQuality(of slot: Slot<Allocation>) {
    for direction in [MediaDirection.toPeers, .toClients] {
      if let record = allocations[slot].quality[direction].slot { qualities.remove(record) }
      allocations[slot].quality[direction] = OptionalSlot()
    }
  }

  /// Records a client's payload, before any limit on bandwidth drops it.
  @inline(__always)
  mutating func measureFromClient(
    _ bytes: RawSpan, at offset: Int, count: Int, of allocation: Slot<Allocation>, now: Now
  ) {
    guard let record = allocations[allocation].quality.toPeers.slot else { return }
    counters.fromClients.add(qualities[record].record(bytes, at: offset, count: count, now: now.instant))
  }

  /// Records a peer's payload, before any limit on bandwidth drops it.
  @inline(__always)
  mutating func measureFromPeer(_ datagram: borrowing PeerDatagram, of allocation: Slot<Allocation>, now: Now) {
    guard let record = allocations[allocation].quality.toClients.slot else { return }
    let change = qualities[record].record(
      datagram.bytes, at: datagram.offset, count: datagram.count, now: now.instant)
    counters.fromPeers.add(change)
  }

  func quality(of slot: Slot<Allocation>) -> AllocationQuality {
    var quality = AllocationQuality()
    let records = allocations[slot].quality
    quality.fromClient = records.toPeers.slot.flatMap { qualities[$0].summary }
    quality.fromPeers = records.toClients.slot.flatMap { qualities[$0].summary }
    quality.roundTrip = allocations[slot].details.roundTripMicroseconds.map { .microseconds($0) }
    return quality
  }

  // MARK: - The client's round trip

  /// An upper bound of the round trip of the client that has sent this request; nil if it is unknown.
  func roundTripMicroseconds(of request: borrowing Request) -> UInt32? {
    guard let nonce = request.message.value(of: .nonce) else { return nil }
    return challengeTimes.roundTripMicroseconds(of: nonce)
  }

  /// The client of an allocation whose round trip no STUN transaction has shown; nil if one has.
  public func clientWithoutRoundTrip(_ handle: Handle<Allocation>) -> ClientPath? {
    guard let slot = allocations.slot(of: handle) else { return nil }
    return allocations[slot].details.roundTripMicroseconds == nil ? allocations[slot].client : nil
  }

  /// Records the round trip of the client's connection, unless the allocation has one already.
  public mutating func recordRoundTrip(_ time: Duration, of handle: Handle<Allocation>) {
    guard let slot = allocations.slot(of: handle) else { return }
    let kept = allocations[slot].details.roundTripMicroseconds
    allocations[slot].details.roundTripMicroseconds = kept ?? UInt32(clamping: time.wholeNanoseconds / 1000)
  }

  /// Keeps the shortest round trip of an allocation: a 438 is a challenge too.
  mutating func keepRoundTrip(of request: borrowing Request) {
    guard let slot = allocations.find(request.client), let found = roundTripMicroseconds(of: request) else { return }
    let kept = allocations[slot].details.roundTripMicroseconds
    allocations[slot].details.roundTripMicroseconds = min(found, kept ?? found)
  }
}
