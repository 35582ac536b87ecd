public import NetworkTypes
public import STUN
public import Tables

/// The records of a relay's allocations, for another process that takes over.
public struct ExportedRelay: Sendable {
  /// The records, for `restore` in the newer process.
  public var bytes: [UInt8] = []
  /// The relay ports of these allocations; the newer process needs their sockets too.
  public var ports: [(handle: Handle<RelayPort>, transport: RelayTransport)] = []
  /// The number of exported allocations.
  public var allocations = 0
  /// The number of allocations that stay in this process.
  public var kept = 0
}

/// The kinds of a relay's records.
enum RelayRecordKind: UInt8 {
  case relay = 1
  case allocation = 2
  case reservation = 3
  case movedClient = 4
  case waitingRequest = 5
  /// The port of an allocation that stays.
  case foreignPort = 6
  /// A realm's part of shared bandwidth.
  case bandwidth = 7
}

/// A handover to another process: what the older process does.
///
/// `export` writes everything and changes nothing, so that the older process can continue if the newer one does not
/// start. After the newer one has started, `forgetExported` removes the exported records.
extension Relay {
  /// The version of the records; a reader accepts only its own version.
  public static var recordVersion: UInt16 { 2 }

  /// - Parameter isMoving: whether a client's allocation moves; the other allocations stay here.
  public mutating func export(_ isMoving: (ClientPath) -> Bool) -> ExportedRelay {
    var result = ExportedRelay()
    var coder = RecordCoder()
    // Writing cannot fail.
    try? exportState(to: &coder)
    var walk = SlotWalk<Allocation>()
    while let slot = allocations.next(&walk) {
      guard moves(slot, isMoving) else {
        result.kept += 1
        try? exportForeignPorts(of: slot, to: &coder)
        continue
      }
      var record = record(of: slot, isMoving)
      coder.begin(RelayRecordKind.allocation.rawValue)
      try? record.code(with: &coder)
      coder.end()
      result.allocations += 1
      result.ports += record.ports.map { ($0.handle, $0.port.transport) }
    }
    try? exportOthers(isMoving, to: &coder)
    try? exportBandwidth(to: &coder)
    result.bytes = coder.bytes
    return result
  }

  /// Whether an allocation moves. One whose connection has closed always does, because its client will return to the
  /// newer process.
  private func moves(_ slot: Slot<Allocation>, _ isMoving: (ClientPath) -> Bool) -> Bool {
    allocations[slot].details.mobility?.isDetached == true || isMoving(allocations[slot].client)
  }

  private mutating func exportState(to coder: inout RecordCoder) throws(RecordError) {
    coder.begin(RelayRecordKind.relay.rawValue)
    var version = Self.recordVersion
    try coder.code(&version)
    var shapes = (allocations.shape, relayPorts.shape, peerConnections.shape)
    try coder.code(&shapes.0)
    try coder.code(&shapes.1)
    try coder.code(&shapes.2)
    try codeState(with: &coder)
    coder.end()
  }

  /// Codes the values that a relay has once, apart from its allocations.
  mutating func codeState(with coder: inout RecordCoder) throws(RecordError) {
    try tickets.code(with: &coder)
    try portPicker.code(with: &coder)
    try counters.code(with: &coder)
    try eventBudget.code(with: &coder)
    try limitNotices.code(with: &coder)
    try challengeTimes.code(with: &coder)
  }

  private func exportForeignPorts(of slot: Slot<Allocation>, to coder: inout RecordCoder) throws(RecordError) {
    for handle in allocations[slot].ports {
      guard let port = relayPorts.slot(of: handle) else { continue }
      var (address, transport) = (relayPorts[port].address, relayPorts[port].transport)
      coder.begin(RelayRecordKind.foreignPort.rawValue)
      try coder.code(&address)
      try coder.code(&transport)
      coder.end()
    }
  }

  private func exportOthers(_ isMoving: (ClientPath) -> Bool, to coder: inout RecordCoder) throws(RecordError) {
    for var reservation in reservations.all where relayed.isReserved(reservation.address, stamp: reservation.stamp) {
      coder.begin(RelayRecordKind.reservation.rawValue)
      try reservation.code(with: &coder)
      coder.end()
    }
    for var client in moved.all {
      coder.begin(RelayRecordKind.movedClient.rawValue)
      try client.code(with: &coder)
      coder.end()
    }
    for var request in pending.all where isMoving(request.client) {
      coder.begin(RelayRecordKind.waitingRequest.rawValue)
      try coder.code(&request.client)
      try coder.code(&request.bytes)
      coder.end()
    }
  }

  private mutating func exportBandwidth(to coder: inout RecordCoder) throws(RecordError) {
    for realm in bandwidth.limitedRealms {
      coder.begin(RelayRecordKind.bandwidth.rawValue)
      var number = realm.rawValue
      try coder.code(&number)
      try bandwidth.code(realm, with: &coder, now: Instant(nanoseconds: 0))
      coder.end()
    }
  }

  private func record(of slot: Slot<Allocation>, _ isMoving: (ClientPath) -> Bool) -> AllocationRecord {
    var record = AllocationRecord()
    record.handle = allocations.handle(of: slot)
    record.client = allocations[slot].client
    record.expiresAt = allocations[slot].expiresAt
    record.transport = allocations[slot].transport
    record.traffic = (allocations[slot].toPeers, allocations[slot].toClient)
    record.buckets = allocations[slot].buckets
    record.icmpBucket = allocations[slot].icmpBucket
    record.unfragmentedBucket = allocations[slot].unfragmentedBucket
    record.bandwidth = allocations[slot].bandwidth
    record.details = allocations[slot].details
    record.userBuckets = bandwidth.fullTimes(of: record.details.bandwidthSubject)
    // A five-tuple of a connection that stays can never be used in the newer process.
    if let next = record.details.mobility?.pending, !isMoving(next) { record.details.mobility?.pending = nil }
    for handle in allocations[slot].ports {
      if let port = relayPorts.slot(of: handle) { record.ports.append((handle, relayPorts[port])) }
    }
    let quality = allocations[slot].quality
    record.qualities = [quality.toPeers, quality.toClients].compactMap(\.slot).map { qualities[$0] }
    addPeers(of: slot, to: &record)
    return record
  }

  private func addPeers(of slot: Slot<Allocation>, to record: inout AllocationRecord) {
    var permission = allocations[slot].permissions.first
    while let next = permission {
      record.permissions.append((permissions[next].address, permissions[next].expiresAt))
      permission = permissions.next(after: next, in: allocations[slot].permissions)
    }
    var channel = allocations[slot].channels.first
    while let next = channel {
      record.channels.append((channels[next].number, channels[next].peer, channels[next].expiresAt))
      channel = channels.next(after: next, in: allocations[slot].channels)
    }
    var connection = allocations[slot].peerConnections.first
    while let next = connection {
      let found = peerConnections[next]
      record.peerConnections.append(
        PeerConnectionRecord(
          handle: peerConnections.handle(of: next), peer: found.peer, state: found.state,
          identifier: found.identifier, expiresAt: found.expiresAt, request: peerConnections.request(of: next)))
      connection = peerConnections.next(after: next, in: allocations[slot].peerConnections)
    }
    // An element is inserted at the beginning of its list.
    record.permissions.reverse()
    record.channels.reverse()
    record.peerConnections.reverse()
  }

  // MARK: - The clients of sockets

  /// The client whose allocation has a peer connection; nil if the connection has ended.
  public func client(ofPeerConnection handle: Handle<PeerConnection>) -> ClientPath? {
    peerConnections.slot(of: handle).map { allocations[peerConnections[$0].allocation].client }
  }

  /// The client whose allocation has a relay port; nil without such an allocation.
  public func client(ofPort handle: Handle<RelayPort>) -> ClientPath? {
    relayPorts.slot(of: handle).flatMap { relayPorts[$0].allocation }.map { allocations[$0].client }
  }

  /// Every peer connection with an open or requested socket.
  public var peerConnectionHandles: [Handle<PeerConnection>] {
    var handles: [Handle<PeerConnection>] = []
    var walk = SlotWalk<PeerConnection>()
    while let slot = peerConnections.next(&walk) {
      if peerConnections[slot].state != .failed { handles.append(peerConnections.handle(of: slot)) }
    }
    return handles
  }

  // MARK: - After the handover

  /// Removes the allocations that the newer process has, without events; the engine then closes their sockets here.
  public mutating func forgetExported(_ isMoving: (ClientPath) -> Bool, now: Now) {
    var walk = SlotWalk<Allocation>()
    while let slot = allocations.next(&walk) {
      guard moves(slot, isMoving) else { continue }
      end(slot, .closed, isAnnounced: false, now: now)
    }
    for client in pending.all.map(\.client) where isMoving(client) {
      for ticket in pending.tickets(of: client) {
        guard let request = pending.remove(ticket, timers: &timers), let allocation = request.allocation else {
          continue
        }
        release(allocation, of: request)
      }
    }
  }
}
