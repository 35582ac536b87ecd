internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// The relay's commands, and the mail from other threads.
extension Shard {
  mutating func runCommands() {
    while let command = relay.popCommand() {
      switch command {
      case .reply(let path, let bytes):
        deliver(bytes, to: path)
      case .lookUpKeys(let ticket, let realm, let user):
        lookUp(ticket, realm: realm, user: user)
      case .admit(let ticket, let holder):
        relay.admitted(ticket, plan.ledger.admit(holder), holder, now: now)
      case .release(let holder):
        plan.ledger.release(holder)
      case .openRelayPort(let id, let address):
        openRelayPort(id, address)
      case .closeRelayPort(let id):
        plane.closeRelayPort(id)
      case .locate(let path, let bytes):
        locate(path, bytes)
      case .replyFrom(let local, let target, let bytes):
        reply(bytes, to: target, from: local)
      case .openRelayListener(let id, let address):
        openRelayListener(id, address)
      case .closeRelayListener(let id):
        closeRelayListener(id)
      case .connectPeer(let id, let local, let remote):
        connectPeer(id, from: local, to: remote)
      case .bindPipe(let id, let path):
        bindPipe(id, path)
      case .closePipe(let id):
        closePipe(id)
      case .moveConnection(let shard, let path, let message):
        moveConnection(path, to: shard, message: message)
      case .sendUnfragmented(let port, let peer, let bytes):
        // Too large for the first link: no event tells of it.
        if plane.sendUnfragmented(port, peer, bytes) { receiveErrors(port) }
      case .handOver(let shard, let path, let bytes):
        handOver(bytes, of: path, to: shard)
      case .event(let event):
        record(event)
      }
    }
  }

  /// The late answer to a request.
  mutating func deliver(_ bytes: [UInt8], to path: ClientPath) {
    switch path.transport {
    case .tcp, .tls:
      queueControl(path.connection, bytes)
      return
    case .dtls:
      sendToAssociation(path.connection, bytes.span.rawBytes)
      return
    case .udp: break
    }
    plane.sends.trafficClass = 0
    let slot = plane.replySlot()
    plane.buffers.copy(bytes.span.rawBytes, into: slot, at: 0)
    let endpoint = endpoints.endpoint(path.endpoint)
    plane.sendToClient(
      listener: socketOfListener[endpoint.listener], path.address, from: endpoint.source, slot: slot,
      range: 0..<bytes.count)
  }

  private mutating func openRelayPort(_ id: RecordID, _ address: SocketAddress) {
    do throws(Errno) {
      try plane.openRelayPort(id, address)
      relay.relayPortOpened(id, now: now)
    } catch {
      if error != .addressInUse {
        plan.log.limited(.warning, "relay-port-failed", ("address", "\(address.address)"), ("error", "\(error)"))
      }
      relay.relayPortFailed(id, now: now)
    }
  }

  private mutating func lookUp(_ ticket: RecordID, realm: UInt8, user: UserReference) {
    if let keys = knownKeys.find(user, realm: realm, now: now.instant) {
      relay.keysFound(ticket, keys, now: now)
      return
    }
    guard let credentials = plan.credentials[realm],
      credentials.lookUp(
        CredentialService.LookUp(ticket: ticket, realm: realm, user: user, answers: plan.mailbox))
    else {
      plan.log.limited(.warning, "credential-store-busy")
      relay.keysUnavailable(ticket, now: now)
      return
    }
  }

  /// To the shard that has the client's allocation. One that cannot take it loses a datagram, as networks do.
  private func handOver(_ bytes: [UInt8], of path: ClientPath, to shard: Int) {
    guard plan.siblings.indices.contains(shard) else { return }
    let endpoint = endpoints.endpoint(path.endpoint)
    let datagram = HandedOverDatagram(
      bytes: bytes, client: path.address, listener: endpoint.listener, local: endpoint.source)
    // Control letters keep their room.
    plan.siblings[shard].post(.handedOver(datagram), unlessMoreThan: 1024)
  }

  /// From another shard: answered and relayed from here. Both shards' sockets have one address.
  private mutating func receive(_ datagram: HandedOverDatagram) {
    guard let endpoint = endpoints.id(listener: datagram.listener, source: datagram.local) else { return }
    let path = ClientPath(
      address: datagram.client, endpoint: endpoint, transport: .udp, realm: plan.listeners[datagram.listener].realm)
    let slot = plane.replySlot()
    let count = datagram.bytes.count
    plane.buffers.copy(datagram.bytes.span.rawBytes, into: slot, at: 0)
    let disposition = relay.receiveHandedOver(slot: slot, 0..<count, in: plane.buffers, from: path, now: now)
    act(disposition, on: slot, base: 0, isPart: false, from: path)
  }

  mutating func readMail() {
    let letters = plan.mailbox.takeAll()
    receiveFromSiblings()
    for message in letters {
      switch message {
      case .keys(let ticket, let realm, let user, let keys):
        if let keys { knownKeys.remember(user, realm: realm, keys, now: now.instant) }
        relay.keysFound(ticket, keys, now: now)
      case .keysUnavailable(let ticket):
        relay.keysUnavailable(ticket, now: now)
      case .configure(let settings, let gate, let names):
        knownKeys.forgetAll()
        serverNames = names
        relay.update(settings: settings, gate: gate)
      case .handedOver(let datagram):
        receive(datagram)
      case .moved(let box):
        adopt(box)
      case .certificates(let contexts):
        tls = contexts.stream
        associations.useContext(contexts.datagram)
      case .reportWhenIdle:
        reportsWhenIdle = true
      case .stop:
        relay.endAllAllocations(now: now)
        runCommands()
        closeAllConnections()
        closeAllAssociations()
        isStopping = true
      }
      runCommands()
    }
  }

  private func record(_ event: Event) {
    switch event {
    case .allocationCreated(let summary):
      guard plan.log.writes(.debug) else { return }
      plan.log.debug(
        "allocation-created", ("user", String(decoding: summary.username, as: UTF8.self)),
        ("client", "\(summary.client)"), ("transport", "\(summary.transport)"), ("relayed", "\(summary.relayed)"))
    case .allocationEnded(let summary, let reason):
      guard plan.log.writes(.debug) else { return }
      plan.log.debug(
        "allocation-ended", ("reason", reason.rawValue), ("user", String(decoding: summary.username, as: UTF8.self)),
        ("client", "\(summary.client)"), ("relayed", "\(summary.relayed)"), ("seconds", "\(summary.age)"),
        ("to-peers", "\(summary.toPeers.packets)/\(summary.toPeers.bytes)"),
        ("to-client", "\(summary.toClient.packets)/\(summary.toClient.bytes)"))
    case .requestRefused(let code):
      plan.log.debug("request-refused", ("code", "\(code)"))
    case .relayPortsExhausted(let family):
      plan.log.limited(.warning, "relay-ports-exhausted", ("family", family == .ipv4 ? "ipv4" : "ipv6"))
    }
  }
}

/// Keys of users that the store was asked for lately. Forgotten as soon as the store changes, and after a minute; at
/// most 10,000, beyond which it starts anew.
struct KnownKeys {
  private struct User: Hashable {
    var realm: UInt8
    var reference: UserReference
  }

  private var keys: [User: (keys: TURN.CredentialKeys, until: Instant)] = [:]

  func find(_ user: UserReference, realm: UInt8, now: Instant) -> TURN.CredentialKeys? {
    guard let entry = keys[User(realm: realm, reference: user)], entry.until > now else { return nil }
    return entry.keys
  }

  mutating func remember(_ user: UserReference, realm: UInt8, _ found: TURN.CredentialKeys, now: Instant) {
    if keys.count >= 10_000 { forgetAll() }
    keys[User(realm: realm, reference: user)] = (found, now.advanced(bySeconds: 60))
  }

  mutating func forgetAll() { keys.removeAll() }
}
