internal import Crypto
public import NetworkTypes
public import STUN
public import Tables

/// Translates numbers of the older process to those of the newer one, whose configuration may differ.
public struct HandoverMapping: Sendable {
  /// The realms by the older process's numbers; nil: the newer process has no such realm.
  public var realms: [RealmID?]
  /// The indices of the relay addresses by the older process's indices; nil: the newer process has no such address.
  public var ordinals: [UInt8?]
  /// Whether an endpoint's listener is still there, by the endpoints' numbers, which stay the same.
  public var endpoints: [Bool]

  public init(realms: [RealmID?], ordinals: [UInt8?], endpoints: [Bool]) {
    self.realms = realms
    self.ordinals = ordinals
    self.endpoints = endpoints
  }

  public func realm(_ old: RealmID) -> RealmID? { Int(old.rawValue) < realms.count ? realms[Int(old.rawValue)] : nil }

  func ordinal(_ old: UInt8) -> UInt8? { Int(old) < ordinals.count ? ordinals[Int(old)] : nil }

  /// Whether the newer process has the listener of a path's endpoint.
  public func hasEndpoint(_ path: ClientPath) -> Bool {
    Int(path.endpoint.rawValue) < endpoints.count && endpoints[Int(path.endpoint.rawValue)]
  }
}

/// The records that a relay has taken over.
public struct RestoredRelay: Sendable {
  /// The relay ports whose sockets the engine must have.
  public var ports: [(handle: Handle<RelayPort>, transport: RelayTransport)] = []
  /// Requests that waited for a store, the ledger or a socket: the engine passes them to `receive` again.
  public var waiting: [(client: ClientPath, bytes: [UInt8])] = []
  /// The holders that the ledger must count.
  public var holders: [QuotaHolder] = []
  /// The restored allocations.
  public var summaries: [AllocationSummary] = []
  /// Allocations that the new configuration has no place for: their realm, listener or relay address is gone.
  public var closed: [AllocationSummary] = []
}

/// A handover from another process: what the newer process does, on a new relay.
extension Relay {
  /// - Parameters:
  ///   - bytes: from `export`.
  ///   - now: the time; both processes have the same monotonic clock.
  public mutating func restore(
    _ bytes: [UInt8], _ mapping: HandoverMapping, now: Now
  ) throws(RecordError) -> RestoredRelay {
    var coder = RecordCoder(reading: bytes)
    var result = RestoredRelay()
    guard try coder.next() == RelayRecordKind.relay.rawValue else {
      throw coder.failure("the first record must be the relay's")
    }
    try restoreState(from: &coder)
    while let kind = try coder.next() {
      switch RelayRecordKind(rawValue: kind) {
      case .relay: throw coder.failure("there are two records of the relay")
      case .allocation:
        var record = AllocationRecord()
        try record.code(with: &coder)
        guard try restore(&record, mapping, &coder, &result, now: now) else { continue }
      case .reservation: try restoreReservation(mapping, from: &coder)
      case .movedClient: try restoreMovedClient(mapping, from: &coder)
      case .waitingRequest: try restoreRequest(mapping, from: &coder, &result)
      case .foreignPort: try restoreForeignPort(mapping, from: &coder)
      case .bandwidth:
        var realm: UInt8 = 0
        try coder.code(&realm)
        try bandwidth.code(mapping.realm(RealmID(rawValue: realm)), with: &coder, now: now.instant)
      // Skips a record of an unknown kind, which a later version has written.
      case nil: break
      }
      coder.end()
    }
    allocations.finishRestoring()
    relayPorts.finishRestoring()
    peerConnections.finishRestoring()
    return result
  }

  private mutating func restoreState(from coder: inout RecordCoder) throws(RecordError) {
    var version = Self.recordVersion
    try coder.code(&version)
    guard version == Self.recordVersion else { throw coder.failure("the records have an unknown version") }
    var shapes = (allocations.shape, relayPorts.shape, peerConnections.shape)
    try coder.code(&shapes.0)
    try coder.code(&shapes.1)
    try coder.code(&shapes.2)
    guard allocations.beginRestoring(shapes.0), relayPorts.beginRestoring(shapes.1),
      peerConnections.beginRestoring(shapes.2)
    else { throw coder.failure("a table is too large") }
    try codeState(with: &coder)
    coder.end()
  }

  // MARK: - Allocations

  /// Restores an allocation; false, after the end of its record, if the new configuration has no place for it.
  private mutating func restore(
    _ record: inout AllocationRecord, _ mapping: HandoverMapping, _ coder: inout RecordCoder,
    _ result: inout RestoredRelay, now: Now
  ) throws(RecordError) -> Bool {
    guard translate(&record, mapping) else {
      result.closed.append(summary(of: record, now: now))
      coder.end()
      return false
    }
    record.details.bandwidthSubject = RateTable.Subject(record.details.quotaHolder)
    record.details.ownBandwidth = record.details.keys?.bandwidthWord ?? 0
    bandwidth.watch(record.details.ownBandwidth)
    var allocation = Allocation(
      client: record.client, transport: record.transport, expiresAt: record.expiresAt, details: record.details)
    (allocation.toPeers, allocation.toClient) = record.traffic
    allocation.buckets = record.buckets
    allocation.icmpBucket = record.icmpBucket
    allocation.unfragmentedBucket = record.unfragmentedBucket
    allocation.bandwidth = record.bandwidth
    bandwidth.restore(record.details.bandwidthSubject, fullAt: record.userBuckets, now: now.instant)
    allocation.hasPendingMove = record.details.mobility?.pending != nil
    guard let slot = allocations.restore(allocation, at: record.handle) else {
      throw coder.failure("two allocations have one handle or one client")
    }
    if let pending = record.details.mobility?.pending { allocations.add(pending, to: slot) }
    try restorePorts(of: record, slot, &coder, &result)
    try restorePeers(of: record, slot, &coder)
    if record.qualities.count == 2 {
      allocations[slot].quality.toPeers = OptionalSlot(qualities.insert(record.qualities[0]))
      allocations[slot].quality.toClients = OptionalSlot(qualities.insert(record.qualities[1]))
    }
    allocations[slot].timer = timers.schedule(.allocation(record.handle), at: portDeadlines(of: slot).first)
    result.holders.append(record.details.quotaHolder)
    result.summaries.append(summary(of: slot, now: now))
    return true
  }

  /// Replaces the older process's numbers by our own; false if one has none.
  private func translate(_ record: inout AllocationRecord, _ mapping: HandoverMapping) -> Bool {
    guard let realm = mapping.realm(record.details.realm), let clientRealm = mapping.realm(record.client.realm),
      mapping.hasEndpoint(record.client)
    else { return false }
    record.details.realm = realm
    record.client.realm = clientRealm
    if let pending = record.details.mobility?.pending {
      let isKnown = mapping.hasEndpoint(pending) && pending.key != record.client.key
      record.details.mobility?.pending = isKnown ? pending : nil
      record.details.mobility?.pending?.realm = mapping.realm(pending.realm) ?? clientRealm
    }
    for index in record.ports.indices {
      let port = record.ports[index].port
      guard let ordinal = mapping.ordinal(port.address.ordinal), Int(ordinal) < relayed.entries.count,
        relayed.entries[Int(ordinal)].local.family == port.family, relayed.ports.contains(port.address.port)
      else { return false }
      record.ports[index].port.address.ordinal = ordinal
      if port.advertised.isUnspecified {
        record.ports[index].port.advertised = relayed.entries[Int(ordinal)].advertised
      }
    }
    for index in record.peerConnections.indices {
      guard let request = record.peerConnections[index].request else { continue }
      record.peerConnections[index].request?.client.realm = mapping.realm(request.client.realm) ?? clientRealm
      record.peerConnections[index].request?.principal.realm = mapping.realm(request.principal.realm) ?? realm
    }
    return true
  }

  private mutating func restorePorts(
    of record: AllocationRecord, _ slot: Slot<Allocation>, _ coder: inout RecordCoder, _ result: inout RestoredRelay
  ) throws(RecordError) {
    for (handle, found) in record.ports {
      var port = found
      port.allocation = slot
      guard allocations[slot].port(for: port.family) == nil, port.transport == record.transport,
        relayPorts.find(relayed.key(port.address)) == nil, relayPorts.restore(port, at: handle),
        let portSlot = relayPorts.slot(of: handle)
      else { throw coder.failure("two relay ports have one handle or one address") }
      allocations[slot].setPort(handle, for: port.family)
      relayed.adopt(port.address, port.transport, shard: shard)
      relayPorts.publish(portSlot, under: relayed.key(port.address))
      result.ports.append((handle, port.transport))
    }
  }

  private mutating func restorePeers(
    of record: AllocationRecord, _ slot: Slot<Allocation>, _ coder: inout RecordCoder
  ) throws(RecordError) {
    for (address, expiresAt) in record.permissions {
      guard permissions.find(address, of: slot) == nil else { throw coder.failure("a peer has two permissions") }
      let permission = Permission(
        allocation: slot, address: address, expiresAt: expiresAt, verdict: rules.verdict(address),
        rulesGeneration: rules.generation)
      _ = permissions.insert(permission, to: &allocations[slot].permissions, timers: &timers)
    }
    for (number, peer, expiresAt) in record.channels {
      guard channels.find(number, of: slot) == nil, channels.find(peer, of: slot) == nil else {
        throw coder.failure("a channel number or peer is bound twice")
      }
      bindRestored(number, peer, until: expiresAt, to: slot)
    }
    for found in record.peerConnections {
      let connection = PeerConnection(
        allocation: slot, peer: found.peer, state: found.state, identifier: found.identifier,
        expiresAt: found.expiresAt)
      let isNew =
        peerConnections.find(found.peer, of: slot) == nil
        && (found.identifier == 0 || !peerConnections.hasIdentifier(found.identifier))
      guard isNew,
        peerConnections.restore(
          connection, for: found.request, at: found.handle, to: &allocations[slot].peerConnections, timers: &timers)
      else { throw coder.failure("two peer connections have one peer or identifier") }
    }
  }

  private mutating func bindRestored(
    _ number: UInt16, _ peer: PeerAddress, until expiresAt: Instant, to slot: Slot<Allocation>
  ) {
    let permission = permissions.find(peer.address, of: slot).map { permissions.handle(of: $0) }
    let channel = Channel(
      allocation: slot, number: number, verdict: rules.verdict(peer.address),
      isTranslated: relayed.translated(peer.address) != peer.address, expiresAt: expiresAt, peer: peer,
      permission: permission ?? .ended, rulesGeneration: rules.generation)
    _ = channels.insert(channel, to: &allocations[slot].channels, timers: &timers)
  }

  /// The summary of an allocation that is not restored.
  private func summary(of record: AllocationRecord, now: Now) -> AllocationSummary {
    AllocationSummary(
      id: record.handle, kind: record.details.kind, realm: .default, username: record.details.username,
      client: record.client.address, transport: record.client.transport, relayTransport: record.transport,
      relayed: .none, secondRelayed: nil,
      age: now.instant.duration(since: record.details.createdAt),
      toPeers: record.traffic.toPeers, toClient: record.traffic.toClient, drops: record.details.drops,
      quality: AllocationQuality())
  }

  // MARK: - Other records

  private mutating func restoreReservation(
    _ mapping: HandoverMapping, from coder: inout RecordCoder
  ) throws(RecordError) {
    var reservation = Reservation(
      address: RelayedAddress(0, 0), stamp: 0, owner: 0, expiresAt: Instant(nanoseconds: 0))
    try reservation.code(with: &coder)
    guard let ordinal = mapping.ordinal(reservation.address.ordinal), Int(ordinal) < relayed.entries.count,
      reservations.count < Int(SlotMap<Reservation>.restorableSlots)
    else { return }
    // The token contains the index, so it is invalid for another index.
    guard ordinal == reservation.address.ordinal else { return }
    relayed.adopt(reservation)
    hold(reservation)
  }

  private mutating func restoreMovedClient(
    _ mapping: HandoverMapping, from coder: inout RecordCoder
  ) throws(RecordError) {
    var client = MovedClient(key: FlatKey(0), owner: 0, user: 0, lastUsed: Instant(nanoseconds: 0))
    try client.code(with: &coder)
    let endpoint = Int(ClientPath.endpoint(ofKey: client.key).rawValue)
    guard Int(client.owner) < shardCount, Int(client.owner) != shard, moved.hasRoom(for: client.user),
      endpoint < mapping.endpoints.count, mapping.endpoints[endpoint]
    else { return }
    moved.insert(client, lifetime: movedClientLifetime, timers: &timers)
  }

  private func restoreRequest(
    _ mapping: HandoverMapping, from coder: inout RecordCoder, _ result: inout RestoredRelay
  ) throws(RecordError) {
    var client = ClientPath.unread
    var bytes: [UInt8] = []
    try coder.code(&client)
    try coder.code(&bytes)
    guard let realm = mapping.realm(client.realm), mapping.hasEndpoint(client),
      result.waiting.count < settings.waitingRequests
    else { return }
    client.realm = realm
    result.waiting.append((client, bytes))
  }

  private func restoreForeignPort(
    _ mapping: HandoverMapping, from coder: inout RecordCoder
  ) throws(RecordError) {
    var (address, transport) = (RelayedAddress(0, 0), RelayTransport.udp)
    try coder.code(&address)
    try coder.code(&transport)
    guard let ordinal = mapping.ordinal(address.ordinal) else { return }
    relayed.recordForeign(RelayedAddress(Int(ordinal), address.port), transport)
  }
}
