internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System

/// Sends packets at full speed or at a rate: Binding requests, or data through allocations in every direction.
struct TrafficRun: ~Copyable {
  let settings: LoadSettings
  var session: Session
  var peers: PeerSide?
  private var templates: [Frame.Template] = []
  private var relays: [SocketAddress] = []
  private var scratch = ByteBuffer(capacity: 66_000)
  private var latency = LatencyHistogram()
  private var flow = 0
  private var inBurst = 0
  private var measures = false
  /// Packets that reached their destination, and packets that the server relayed: an echo is relayed twice.
  private var arrived: UInt64 = 0
  private var carried: UInt64 = 0
  private var setUpTime = Duration.zero
  private var residentBefore: ByteCount?

  private init(_ settings: LoadSettings, session: consuming Session) {
    self.settings = settings
    self.session = session
    peers = nil
    residentBefore = nil
  }

  /// Makes the allocations that the work needs.
  static func open(_ settings: LoadSettings) throws(LoadError) -> TrafficRun {
    let residentBefore = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    let begin = Instant.read()
    var run = TrafficRun(settings, session: try Session(settings, count: settings.allocations))
    switch settings.work {
    case .relay: try run.setUpRelay()
    case .relayToRelay: try run.setUpRelayToRelay()
    default: break
    }
    run.residentBefore = residentBefore
    run.setUpTime = Instant.read().duration(since: begin)
    return run
  }

  private mutating func setUpRelay() throws(LoadError) {
    let side = try PeerSide.open(settings)
    try session.allocateAll()
    for index in session.clients.indices { session.clients[index].peer = side.address(of: index) }
    peers = consume side
    try prepare()
  }

  private mutating func setUpRelayToRelay() throws(LoadError) {
    try session.allocateAll()
    for index in session.clients.indices { session.clients[index].peer = session.clients[index ^ 1].relayed }
    try prepare()
  }

  private mutating func prepare() throws(LoadError) {
    try session.permitAll()
    let count = settings.payloadByteCount
    for client in session.clients {
      guard let relay = client.relayed, let peer = client.peer else { continue }
      relays.append(relay)
      templates.append(
        settings.usesIndications
          ? Frame.indication(count, to: peer)
          : Frame.channelData(count, isStream: settings.transport.isStream))
    }
  }

  // MARK: - Running

  /// Runs at the pace of the settings.
  mutating func run(progress: (LoadProgress) -> Void) throws(LoadError) -> LoadResult {
    if settings.pace == .search { return try search(progress: progress) }
    return try trial(settings.pace, warmUp: settings.warmUp, duration: settings.duration, progress: progress)
  }

  mutating func trial(
    _ pace: LoadSettings.Pace, warmUp: Duration, duration: Duration, progress: (LoadProgress) -> Void
  ) throws(LoadError) -> LoadResult {
    latency = LatencyHistogram()
    let arrivedBefore = arrived
    let begin = Instant.read()
    var pacer = Pacer(pace, burst: settings.burst, now: begin)
    measures = false
    try exchange(&pacer, until: begin.advanced(by: warmUp), progress: progress)
    let first = Reading(settings)
    let carriedBefore = carried
    measures = true
    try exchange(&pacer, until: first.instant.advanced(by: duration), progress: progress)
    let last = Reading(settings)
    var result = LoadResult()
    result.unit = settings.work == .binding ? .response : .packet
    result.measure(from: first, to: last)
    result.completed = carried - carriedBefore
    measures = false
    try drain(pacer.sent, from: arrivedBefore)
    result.sent = pacer.sent
    let through = arrived - arrivedBefore
    result.lost = pacer.sent > through ? pacer.sent - through : 0
    result.latency = latency
    result.setUp = setUpTime
    result.residentBefore = residentBefore
    result.residentAfter = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    result.failures = session.failures
    result.firstFailure = session.firstFailure
    if through == 0 { throw .nothingReceived(sent: pacer.sent) }
    return result
  }

  mutating func end() {
    if settings.work != .binding { session.deleteAll() }
  }

  private mutating func exchange(
    _ pacer: inout Pacer, until end: Instant, progress: (LoadProgress) -> Void
  ) throws(LoadError) {
    var nextReport = Instant.read().advanced(by: .milliseconds(500))
    while true {
      let now = Instant.read()
      if now >= end { return }
      let allowance = pacer.allowance(now: now)
      if allowance > 0 { pacer.countSent(try send(allowance, now: now)) }
      let before = arrived
      let isQuiet = try receive(waiting: allowance == 0 && pacer.maySleep(now: now) ? .milliseconds(1) : .zero)
      pacer.countSettled(arrived - before, now: now)
      if isQuiet { try session.upkeep(now: now) }
      if now >= nextReport {
        nextReport = now.advanced(by: .milliseconds(500))
        try session.upkeep(now: now)
        progress(LoadProgress(done: carried, lost: pacer.sent > arrived ? pacer.sent - arrived : 0, now: now))
      }
    }
  }

  /// Waits for packets in flight.
  private mutating func drain(_ sent: UInt64, from before: UInt64) throws(LoadError) {
    var deadline = Instant.read().advanced(by: .milliseconds(300))
    while arrived - before < sent, Instant.read() < deadline {
      let count = arrived
      _ = try receive(waiting: .milliseconds(1))
      if arrived > count { deadline = Instant.read().advanced(by: .milliseconds(300)) }
    }
  }

  // MARK: - Sending

  private mutating func send(_ count: Int, now: Instant) throws(LoadError) -> Int {
    var sent = 0
    while sent < count {
      if try sendOne(now: now) { sent += 1 } else if inBurst == 0 { break }
      inBurst += 1
      if inBurst >= settings.burst { nextFlow() }
    }
    if settings.direction == .toClient { peers?.flush() } else { try session.side.flush() }
    return sent
  }

  private mutating func nextFlow() {
    inBurst = 0
    flow += 1
    if flow >= settings.allocations { flow = 0 }
  }

  /// Sends one packet; false if the flow's connection has a full backlog.
  @inline(__always)
  private mutating func sendOne(now: Instant) throws(LoadError) -> Bool {
    scratch.removeAll()
    if settings.work == .relay, settings.direction == .toClient {
      Stamp.append(to: &scratch, flow: flow, now: now)
      Self.queue(scratch, settings.payloadByteCount, flow: flow, to: relays[flow], &peers)
      return true
    }
    guard session.side.canSend(flow) else { return false }
    if settings.work == .binding {
      scratch.append(bigEndian: UInt32(0x0001_0000))
      scratch.append(bigEndian: magicCookie)
      scratch.append(bigEndian: UInt32(truncatingIfNeeded: flow))
      scratch.append(bigEndian: now.nanoseconds)
      try Self.queue(scratch, scratch.count, client: flow, &session.side)
      return true
    }
    scratch.append(templates[flow].prefix)
    Stamp.append(to: &scratch, flow: flow, now: now)
    let byteCount = templates[flow].byteCount
    if settings.usesLinks { scratch.append(zeros: byteCount - scratch.count) }
    try Self.queue(scratch, byteCount, client: flow, &session.side)
    return true
  }

  // Static functions with separate parameters: the buffer is read while a side, another part of the same value, is
  // changed.

  @inline(__always)
  private static func queue(
    _ scratch: borrowing ByteBuffer, _ byteCount: Int, client: Int, _ side: inout ClientSide
  ) throws(LoadError) {
    if side.settings.usesLinks {
      try side.queue(scratch.bytes, client: client)
    } else {
      side.queueDatagram(scratch.bytes, byteCount: byteCount, client: client)
    }
  }

  @inline(__always)
  private static func queue(
    _ scratch: borrowing ByteBuffer, _ byteCount: Int, flow: Int, to relay: SocketAddress, _ peers: inout PeerSide?
  ) {
    peers?.queue(scratch.bytes, byteCount: byteCount, flow: flow, to: relay)
  }

  // MARK: - Receiving

  /// Receives arrived messages; returns whether there were none.
  private mutating func receive(waiting duration: Duration) throws(LoadError) -> Bool {
    var isQuiet = true
    if settings.work == .relay, settings.direction != .toClient {
      if try receiveAtPeers() { isQuiet = false }
      // Clients receive control messages only, which can wait until no packets arrive.
      if settings.direction == .toPeer, duration == .zero, !isQuiet { return false }
    }
    if try receiveAtClients(waiting: isQuiet ? duration : .zero) { isQuiet = false }
    return isQuiet
  }

  private mutating func receiveAtPeers() throws(LoadError) -> Bool {
    let echoes = settings.direction == .echo
    var isAny = false
    for _ in 0..<4 {
      guard let arrivals = peers?.receive(echoes: echoes, latency: &latency, measures: measures && !echoes) else {
        break
      }
      if arrivals.datagrams > 0 { isAny = true }
      carried += arrivals.packets
      if !echoes { arrived += arrivals.packets }
      if arrivals.datagrams < ClientSide.slotCount { break }
    }
    return isAny
  }

  private mutating func receiveAtClients(waiting duration: Duration) throws(LoadError) -> Bool {
    var wait = duration
    var isAny = false
    for _ in 0..<4 {
      let count = try session.side.poll(for: wait)
      wait = .zero
      guard count > 0 else { break }
      isAny = true
      try takeInbox(now: .read())
      if count < ClientSide.slotCount { break }
    }
    return isAny
  }

  private mutating func takeInbox(now: Instant) throws(LoadError) {
    for index in session.side.inbox.indices {
      let message = session.side.inbox[index]
      if let sent = Self.sent(session.side, message, isBinding: settings.work == .binding) {
        arrived += 1
        carried += 1
        if measures { latency.add(now.nanoseconds(since: sent)) }
      } else if settings.work == .binding {
        session.record("a response that is no success")
      } else {
        session.receiveControl(message, now: now)
        try session.transmit(message.client)
      }
    }
  }

  /// The time when the packet was sent; nil if it is not ours.
  @inline(__always)
  private static func sent(_ side: borrowing ClientSide, _ message: Incoming, isBinding: Bool) -> Instant? {
    let bytes = side.received.bytes(message.slot, message.range)
    if isBinding {
      guard bytes.byteCount >= headerByteCount, bytes.bigEndian16(at: 0) == Frame.bindingSuccess else { return nil }
      return Instant(nanoseconds: bytes.bigEndian64(at: 12))
    }
    guard let range = Frame.data(in: bytes) else { return nil }
    return Stamp.sent(bytes.extracting(range))
  }
}
