internal import STUN
internal import Synchronization
public import Tables

/// The ports of two processes, while the older process hands over to the newer one.
extension RelayedAddresses {
  /// Makes a port live for an allocation that another process has handed over; its last owner stays.
  func adopt(_ address: RelayedAddress, _ transport: RelayTransport, shard: Int) {
    set(address, .live(transport), UInt64(truncatingIfNeeded: shard))
  }

  /// Records the live port of an allocation that the older process keeps.
  func recordForeign(_ address: RelayedAddress, _ transport: RelayTransport) {
    set(address, .foreign(transport), 0)
  }

  /// Reserves a port for the user with the reservation's token.
  func adopt(_ reservation: Reservation) {
    guard let index = wordIndex(reservation.address) else { return }
    store(index, UInt64(reservation.stamp) << 35 | State.reserved.rawValue)
  }

  private func set(_ address: RelayedAddress, _ state: State, _ value: UInt64) {
    guard let index = wordIndex(address) else { return }
    let word = unsafe words[index].load(ordering: .relaxed)
    store(index, value << 35 | word & (0xFFFF_FFFF << 3) | state.rawValue)
  }

  private func store(_ index: Int, _ word: UInt64) {
    unsafe words[index].store(word, ordering: .releasing)
  }

  /// Frees the ports that the older process has kept until its end.
  public func releaseForeign() {
    for index in 0..<wordCount {
      let word = unsafe words[index].load(ordering: .relaxed)
      let state = word & State.mask
      guard state == State.foreign.rawValue || state == State.foreignTCP.rawValue else { continue }
      _ = replace(index, word, by: word & (0xFFFF_FFFF << 3))
    }
  }

  /// Records, in the older process, that the newer one has taken over. From then on every port of a relay address
  /// counts as live, because the newer process may relay from it.
  public func beginSuccession() { portWords.hasSuccessor.store(true, ordering: .relaxed) }

  // MARK: - Records

  /// The ports in quarantine, for `restore` in the newer process.
  public func export() -> [UInt8] {
    var coder = RecordCoder()
    for index in 0..<wordCount {
      var word = unsafe words[index].load(ordering: .relaxed)
      guard word & State.mask == State.free.rawValue, word != 0 else { continue }
      var address = RelayedAddress(
        index / ports.count, UInt16(truncatingIfNeeded: Int(ports.lowerBound) + index % ports.count))
      coder.begin(1)
      // Writing cannot fail.
      try? coder.code(&address)
      try? coder.code(&word)
      coder.end()
    }
    return coder.bytes
  }

  /// Puts the older process's ports into quarantine.
  ///
  /// - Parameter ordinals: for each relay address of the older process, its index in this one; nil: this process does
  ///   not have it.
  public func restore(_ bytes: [UInt8], ordinals: [UInt8?]) throws(RecordError) {
    var coder = RecordCoder(reading: bytes)
    while let kind = try coder.next() {
      guard kind == 1 else {
        // Other parts of the server have written the other records.
        coder.end()
        continue
      }
      var address = RelayedAddress(0, 0)
      var word: UInt64 = 0
      try coder.code(&address)
      try coder.code(&word)
      coder.end()
      guard Int(address.ordinal) < ordinals.count, let ordinal = ordinals[Int(address.ordinal)],
        let index = wordIndex(RelayedAddress(Int(ordinal), address.port)), word & State.mask == State.free.rawValue
      else { continue }
      store(index, word)
    }
  }
}
