internal import TLS
internal import NetIO
internal import Log
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The relay's commands, and messages from other threads.
extension Shard {
  /// Runs the relay's commands, and the commands that these cause.
  ///
  /// A command may close a connection, which calls this again: that call returns at once, and the loop of the first
  /// call continues. Otherwise thousands of pipes that end together would recurse until the stack overflows.
  mutating func runCommands() {
    guard !isRunningCommands else { return }
    isRunningCommands = true
    while let command = relay.popCommand() { run(command) }
    isRunningCommands = false
  }

  private mutating func run(_ command: RelayCommand) {
    switch command {
    case .reply(let path, let bytes, let since):
      if let since { metrics.recordAnswer(since: since) }
      deliver(bytes, to: path)
    case .lookUpKeys(let ticket, let realm, let user):
      lookUp(KeyLookUp(ticket: ticket, realm: realm, user: user))
    case .admit(let ticket, let holder):
      relay.admitted(ticket, admit(holder), holder, now: now)
    case .release(let holder):
      plan.ledger.release(holder)
    case .openRelayPort(let id, let address):
      openRelayPort(id, address)
    case .closeRelayPort(let id):
      plane.closeRelayPort(id)
    case .locate(let path, let bytes):
      locate(path, bytes)
    case .replyFrom(let local, let target, let bytes):
      metrics.answersInTurn &+= 1
      reply(bytes, to: target, from: local)
    case .openRelayListener(let id, let address):
      openRelayListener(id, address)
    case .closeRelayListener(let id):
      tcp.removeListener(id)
    case .connectPeer(let id, let local, let remote):
      connectPeer(id, from: local, to: remote)
    case .bindPipe(let id, let path):
      bindPipe(id, path)
    case .closePipe(let id):
      closePipe(id)
    case .moveConnection(let shard, let path, let message):
      moveConnection(path, to: shard, message: message)
    case .sendUnfragmented(let port, let peer, let bytes):
      // The datagram may exceed the first link's MTU, which causes no event.
      if plane.sendUnfragmented(port, peer, bytes) { receiveErrors(port) }
    case .forward(let shard, let path, let bytes):
      forward(bytes, of: path, to: shard)
    case .captured(let message):
      record(message)
    case .event(let event):
      record(event)
    }
  }

  /// Sends the answer to a request that waited.
  mutating func deliver(_ bytes: [UInt8], to path: ClientPath) {
    switch path.transport {
    case .tcp, .tls:
      if let connection = path.connection { queueControl(Handle(sameAs: connection), bytes) }
      return
    case .dtls:
      if let connection = path.connection { sendToAssociation(Handle(sameAs: connection), bytes.span.rawBytes) }
      return
    case .udp: break
    }
    plane.sends.trafficClass = 0
    let slot = plane.replySlot()
    plane.buffers.copy(bytes.span.rawBytes, into: slot, at: 0)
    sendDatagram(slot, 0..<bytes.count, to: path)
  }

  private mutating func openRelayPort(_ id: Handle<RelayPort>, _ address: SocketAddress) {
    do throws(Errno) {
      try plane.openRelayPort(id, address, below: plan.connections.descriptorLimit)
      relay.relayPortOpened(id, now: now)
    } catch {
      relayPortFailed(id, address, error)
    }
  }

  /// Reports the failure to the relay, which tries another port. A port of another process is not logged.
  mutating func relayPortFailed(_ id: Handle<RelayPort>, _ address: SocketAddress, _ error: Errno) {
    if error != .addressInUse {
      plan.log.limited(.warning, "relay-port-failed", ("address", "\(address.address)"), ("error", "\(error)"))
    }
    relay.relayPortFailed(id, now: now)
  }

  mutating func lookUp(_ lookUp: KeyLookUp) {
    let client = relay.path(ofTicket: lookUp.ticket)?.address.address ?? .ipv4Any
    switch lookUps.step(lookUp, from: client, plan.limiter, now: now.instant) {
    case .found(let keys): relay.keysFound(lookUp.ticket, keys, now: now)
    case .limited(let limit):
      countLimit(limit, client)
      postpone(lookUp)
    case .ask:
      let question = CredentialService.LookUp(
        ticket: lookUp.ticket, realm: lookUp.realm, user: lookUp.user, source: client, answers: plan.mailbox)
      if plan.credentials[lookUp.realm]?.lookUp(question) ?? plan.hook?.lookUp(question) ?? false { return }
      countLimit(.lookUps, client)
      relay.keysUnavailable(lookUp.ticket, now: now)
    }
  }

  /// Asks the ledger, and warns about the quota that refuses an allocation.
  private func admit(_ holder: QuotaHolder) -> Admission {
    let (admission, quota) = plan.ledger.admit(holder)
    if let quota {
      let name = quota.name
      let limit = LimitText(
        name: name, key: QuotaLedger.limitKey(realm: quota.isOfServer ? nil : realmName(holder.realm)) + name,
        effect: admission == .noCapacity ? "further allocations get 508" : "further allocations get 486")
      plan.log.limited(
        .warning, "limit-reached", source: limit.key, ("limit", .text(limit.name)), ("client", "\(holder.address)"),
        ("user", .text(String(decoding: holder.user, as: UTF8.self))), ("key", .text(limit.key)),
        ("effect", .text(limit.effect)))
    }
    return admission
  }

  /// Forwards a datagram to the shard with the client's allocation. It is dropped if that shard's mailbox is full.
  private mutating func forward(_ bytes: [UInt8], of path: ClientPath, to shard: Int) {
    guard plan.siblings.indices.contains(shard) else { return }
    let endpoint = endpoints.endpoint(path.endpoint)
    let datagram = ForwardedDatagram(
      bytes: bytes, client: path.address, listener: endpoint.listener, local: endpoint.source)
    // The rest of the mailbox is reserved for control messages.
    if !plan.siblings[shard].post(.forwarded(datagram), unlessMoreThan: 1024) {
      countLimit(.forwarded, path.address.address)
    }
  }

  /// Receives a datagram from another shard, and answers and relays from here, because both shards' sockets have the
  /// same address.
  private mutating func receive(_ datagram: ForwardedDatagram) {
    guard let endpoint = endpoints.id(listener: datagram.listener, source: datagram.local) else {
      return countLimit(.endpoints, datagram.client.address)
    }
    let path = ClientPath(
      address: datagram.client, endpoint: endpoint, transport: .udp, realm: plan.listeners[datagram.listener].realm)
    let slot = plane.replySlot()
    let count = datagram.bytes.count
    plane.buffers.copy(datagram.bytes.span.rawBytes, into: slot, at: 0)
    let disposition = relay.receiveForwarded(slot: slot, 0..<count, in: plane.buffers, from: path, now: now)
    act(disposition, on: slot, base: 0, isPart: false, from: path)
  }

  /// Takes the store's answer to a look-up.
  private mutating func take(
    _ keys: TURN.CredentialKeys?, of user: UserReference, realm: RealmID, lifetime: Duration?,
    for ticket: Handle<PendingRequest>
  ) {
    if !lookUps.remember(user, realm: realm, keys, lifetime: lifetime, now: now.instant) {
      countLimit(.knownKeys, relay.path(ofTicket: ticket)?.address.address ?? .ipv4Any)
    }
    relay.keysFound(ticket, keys, now: now)
  }

  private mutating func stop() {
    relay.endAllAllocations(now: now)
    runCommands()
    closeAllConnections()
    closeAllAssociations()
    isStopping = true
  }

  mutating func readMail() {
    let letters = plan.mailbox.takeAll()
    if handover.phase != .exported { receiveFromSiblings() }
    for message in letters { read(message) }
    if handover.phase != .exported, !handover.deferred.isEmpty {
      let deferred = handover.deferred
      handover.deferred = []
      for message in deferred { read(message) }
    }
  }

  private mutating func read(_ message: ShardMessage) {
    if handover.phase == .exported {
      // The records are written: nothing may change the shard's state until one of the processes continues.
      guard case .handOver(let step) = message else { return handover.deferred.append(message) }
      take(step)
      return runCommands()
    }
    switch message {
    case .keys(let ticket, let realm, let user, let keys, let lifetime):
      take(keys, of: user, realm: realm, lifetime: lifetime, for: ticket)
    case .keysUnavailable(let ticket):
      relay.keysUnavailable(ticket, now: now)
    case .configure(let settings, let gate, let names, let proxies):
      lookUps.forgetAll()
      serverNames = names
      trustedProxies = proxies
      relay.update(settings: settings, gate: gate)
    case .bans(let bans):
      use(bans)
    case .forwarded(let datagram):
      receive(datagram)
    case .moved(let box):
      adopt(box)
    case .handshake(let job):
      takeBack(job)
    case .certificates(let contexts):
      streams.context = contexts.stream
      datagramListeners.require(clientCertificate: contexts.stream.requiresClientCertificate)
      secureDatagrams.useContext(contexts.datagram)
    case .ping:
      break
    case .sessions(let question):
      answer(question)
    case .capture(let filter, let buffer):
      useCapture(filter, buffer)
    case .handOver(let step):
      take(step)
    // `awaitInheritance` takes this message before the first turn.
    case .inherit:
      break
    case .reportWhenIdle:
      reportsWhenIdle = true
    case .stop: stop()
    }
    runCommands()
  }
}
