internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN
internal import Tables

/// Limits the resources of unauthenticated clients, and closes the heaviest ones at a limit.
extension Shard {
  /// Counts one more connection of an address; false if it must be closed.
  mutating func admitConnection(_ address: IPAddress) -> Bool {
    for _ in 0..<2 {
      switch plan.connections.admit(address, isStream: true) {
      case nil: return true
      case .address:
        countLimit(.connectionsPerAddress, address)
        return false
      case .strangers:
        countLimit(.strangerConnections, address)
        guard let victim = streams.strangers.heaviest, let connection = streams.slot(of: victim) else { return false }
        close(connection)
      }
    }
    return false
  }

  /// Counts a connection that begins TLS; at the limit another handshake is closed.
  mutating func countUnfinished(_ connection: Slot<Connection>) {
    let address = streams[connection].path.address.address
    if let victim = streams.unfinishedVictim(for: address) {
      countLimit(.streamHandshakes, address)
      if let slot = streams.slot(of: victim) { close(slot) }
    }
    streams.unfinished.append(streams.handle(of: connection), from: address)
  }

  /// Charges the memory of an unauthenticated connection, or releases the charge after its client has authenticated.
  mutating func settleStranger(_ connection: Slot<Connection>) {
    guard !streams[connection].isProven else { return }
    if streams[connection].pipe != nil || relay.hasAllocation(streams[connection].path) {
      releaseStranger(connection)
      streams[connection].isProven = true
      return plan.connections.prove()
    }
    let handle = streams.handle(of: connection)
    let held = streams[connection].heldByteCount
    let more = held - streams[connection].charge
    let address = streams[connection].path.address.address
    if more <= 0 {
      plan.strangersMemory.release(-more)
    } else if !chargeStranger(more, address) {
      if streams.slot(of: handle) != nil { close(connection) }
      return
    }
    // `chargeStranger` may have closed this connection as the heaviest.
    if streams.slot(of: handle) != nil {
      streams[connection].charge = held
      streams.charged.change(address, by: more)
    } else if more > 0 {
      plan.strangersMemory.release(more)
    }
  }

  /// Charges strangers' memory. If it is used up, closes the oldest clients of the address that holds most of it; false
  /// if that did not suffice.
  mutating func chargeStranger(_ byteCount: Int, _ address: IPAddress) -> Bool {
    // Each connection frees a kibibyte or more, and a TLS engine needs 48.
    for _ in 0..<64 {
      if plan.strangersMemory.charge(byteCount) { return true }
      countLimit(.strangersMemory, address)
      guard closeHeaviestStranger() else { return false }
    }
    return false
  }

  /// Closes the oldest unauthenticated client of the address with the most bytes; false if this shard has none.
  private mutating func closeHeaviestStranger() -> Bool {
    let (stream, datagram) = (streams.charged.heaviest, secureDatagrams.charged.heaviest)
    if let stream, stream.bytes >= datagram?.bytes ?? 0 {
      guard let victim = streams.strangers.oldest(of: stream.address), let connection = streams.slot(of: victim) else {
        return false
      }
      close(connection)
    } else {
      guard let victim = datagram.flatMap({ secureDatagrams.strangers.oldest(of: $0.address) }),
        let association = secureDatagrams.slot(of: victim)
      else { return false }
      closeAssociation(association)
    }
    return true
  }

  /// Releases the counts of a connection that has authenticated, ends or moves to another shard.
  private mutating func releaseStranger(_ connection: Slot<Connection>) {
    let address = streams[connection].path.address.address
    let handle = streams.handle(of: connection)
    streams.strangers.remove(handle, from: address)
    streams.unfinished.remove(handle, from: address)
    plan.strangersMemory.release(streams[connection].charge)
    streams.charged.change(address, by: -streams[connection].charge)
    streams[connection].charge = 0
  }

  /// Removes an ended or moved connection from all counts.
  mutating func forgetStranger(_ connection: Slot<Connection>) {
    streams[connection].job?.abandon()
    let isStranger = !streams[connection].isProven
    if isStranger { releaseStranger(connection) }
    plan.connections.release(streams[connection].path.address.address, isStranger: isStranger)
  }

  // MARK: - DTLS

  /// Charges the memory of an unauthenticated association, or releases the charge after its client has authenticated.
  mutating func settleAssociation(_ association: Slot<Association>) {
    guard !secureDatagrams[association].isProven else { return }
    let address = secureDatagrams[association].path.address.address
    let handle = secureDatagrams.handle(of: association)
    if relay.hasAllocation(secureDatagrams[association].path) {
      secureDatagrams[association].isProven = true
      secureDatagrams.strangers.remove(handle, from: address)
      plan.strangersMemory.release(secureDatagrams[association].charge)
      secureDatagrams.charged.change(address, by: -secureDatagrams[association].charge)
      secureDatagrams[association].charge = 0
      return
    }
    let held = secureDatagrams[association].heldByteCount
    let more = held - secureDatagrams[association].charge
    if more <= 0 {
      plan.strangersMemory.release(-more)
      secureDatagrams[association].charge = held
      secureDatagrams.charged.change(address, by: more)
    } else if !chargeStranger(more, address) {
      if secureDatagrams.slot(of: handle) != nil { closeAssociation(association) }
    } else if secureDatagrams.slot(of: handle) != nil {
      secureDatagrams[association].charge = held
      secureDatagrams.charged.change(address, by: more)
    } else {
      // `chargeStranger` has closed this association as the heaviest.
      plan.strangersMemory.release(more)
    }
  }
}
