internal import NetworkTypes
internal import TURN
internal import Tables

/// Bans of client addresses.
extension Shard {
  /// Replaces the bans, and closes connections and DTLS associations of banned clients that have no allocation.
  mutating func use(_ bans: BanList) {
    relay.update(bans: bans)
    guard !bans.isEmpty else { return }
    var walk = SlotWalk<Connection>()
    while let connection = streams.next(&walk) {
      let path = streams[connection].path
      guard streams[connection].pipe == nil, bans.contains(path.address.address), !relay.hasAllocation(path) else {
        continue
      }
      close(connection)
    }
    var associations = SlotWalk<Association>()
    while let association = secureDatagrams.next(&associations) {
      let path = secureDatagrams[association].path
      if bans.contains(path.address.address), !relay.hasAllocation(path) { closeAssociation(association) }
    }
  }
}
