internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import Tables

/// A message for a client, in a slot of `ClientSide.received`.
struct Incoming {
  let client: Int
  let slot: Int
  let range: Range<Int>
}

extension ReceiveBatch {
  /// The ranges of a slot's datagrams: one, or several that the kernel has merged (UDP_GRO).
  @inline(__always)
  func datagrams(_ slot: Int) -> Segments {
    let total = byteCount(slot)
    let size = ancillary(slot).segmentByteCount
    return Segments(total: total, size: size > 0 ? size : max(total, 1))
  }
}

/// Splits a length into ranges of one size; the last may be shorter.
struct Segments: Sequence, IteratorProtocol {
  let total: Int
  let size: Int
  private var start = 0

  init(total: Int, size: Int) {
    self.total = total
    self.size = size
  }

  mutating func next() -> Range<Int>? {
    guard start < total else { return nil }
    let begin = start
    start = Swift.min(begin + size, total)
    return begin..<start
  }
}

/// The clients' sockets: one for all if each client can have its own loopback address, else one for each.
struct ClientSide: ~Copyable {
  let settings: LoadSettings
  let count: Int
  private let loop: EventLoop
  private(set) var received: PacketBuffers
  /// Messages of the last `poll`, valid until the next.
  private(set) var inbox: [Incoming] = []
  private var outgoing = PacketBuffers(slotCount: slotCount)
  private var nextSlot = 0
  private var batch: ReceiveBatch
  private var sends: SendBatch

  // Datagrams.
  private var sockets = SlotMap<UDPSocket>()
  private let isShared: Bool
  /// The number of addresses that each client has used.
  private var renewals: [UInt32]

  // Streams and associations.
  private var links: [StreamLink] = []
  private var dirty: [Int] = []
  private var ciphertext: [UInt8] = []

  static let slotCount = 64
  /// A stream with this many waiting bytes gets no further load.
  private static let backlogLimit = 64 << 10
  /// The first loopback address of the clients, and their number: 127.1.0.0 to 127.126.255.255.
  private static let firstAddress: UInt32 = 0x7F01_0000
  private static let addressCount: UInt32 = 0x007E_0000

  private init(_ settings: LoadSettings, count: Int, loop: consuming EventLoop) {
    self.settings = settings
    self.count = count
    self.loop = loop
    let buffers = PacketBuffers(slotCount: Self.slotCount)
    batch = ReceiveBatch(for: buffers)
    received = buffers
    // Without the setting every datagram is sent alone, as by ordinary clients.
    sends = SendBatch(capacity: Self.slotCount, mergesRuns: settings.segments)
    isShared = settings.hasAddressesToSpare
    renewals = [UInt32](repeating: 0, count: count)
    if settings.transport.isSecure { ciphertext = [UInt8](repeating: 0, count: 65_536) }
  }

  /// Opens the sockets of `count` clients.
  static func open(_ settings: LoadSettings, count: Int) throws(LoadError) -> ClientSide {
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop() } catch {
      throw .socket("epoll", reason: error.description)
    }
    var side = ClientSide(settings, count: count, loop: loop)
    try side.openAll()
    return side
  }

  private mutating func openAll() throws(LoadError) {
    if settings.usesLinks {
      for client in 0..<count { links.append(try openLink(client)) }
    } else if isShared {
      try openSocket(0, SocketAddress(.ipv4Any, port: 0))
    } else {
      let local = try settings.localAddress()
      for client in 0..<count { try openSocket(client, SocketAddress(local.address, port: 0)) }
    }
  }

  private mutating func openSocket(_ client: Int, _ address: SocketAddress) throws(LoadError) {
    do throws(Errno) {
      let socket = isShared ? try UDPSocket(listeningOn: address) : try UDPSocket(relayingOn: address)
      let descriptor = socket.rawValue
      if settings.coalesces { _ = UDPOffload.enableReceiving(descriptor) }
      try loop.add(descriptor, EventToken(kind: 1, index: sockets.insert(socket).index))
    } catch {
      throw .socket("socket of client \(client)", reason: error.description)
    }
  }

  private func openLink(_ client: Int) throws(LoadError) -> StreamLink {
    let local = settings.server.address.isLoopback ? source(client).map { SocketAddress($0, port: 0) } : nil
    let link = try StreamLink(settings, from: local)
    let token = EventToken(kind: 2, index: UInt32(client), generation: renewals[client])
    do throws(Errno) { try loop.add(link.socket.rawValue, token, writes: true) } catch {
      throw .socket("epoll", reason: error.description)
    }
    return link
  }

  /// The client's own loopback address; nil if it has none.
  private func source(_ client: Int) -> IPAddress? {
    guard settings.server.family == .ipv4, isShared || settings.usesLinks else { return nil }
    let offset = (renewals[client] &* UInt32(count) &+ UInt32(client)) % Self.addressCount
    return IPAddress(ipv4: Self.firstAddress + offset)
  }

  /// Gives a client a new address, socket or connection.
  mutating func renew(_ client: Int) throws(LoadError) {
    renewals[client] &+= 1
    if settings.usesLinks {
      links[client].shutdown()
      links[client] = try openLink(client)
    } else if !isShared {
      guard let address = sockets[Slot(index: UInt32(client))].localAddress else { return }
      _ = sockets.remove(Slot(index: UInt32(client)))
      // The slot map reuses the slot that was just freed, so the client keeps its index.
      try openSocket(client, SocketAddress(address.address, port: 0))
    }
  }

  // MARK: - Sending

  func canSend(_ client: Int) -> Bool {
    !settings.usesLinks || links[client].waitingByteCount < Self.backlogLimit
  }

  /// Queues a client's message; `flush` sends it.
  @inline(__always)
  mutating func queue(_ bytes: RawSpan, client: Int) throws(LoadError) {
    if settings.usesLinks {
      links[client].append(bytes)
      if dirty.last != client { dirty.append(client) }
      return
    }
    queueDatagram(bytes, byteCount: bytes.byteCount, client: client)
  }

  /// Queues a message that begins with `bytes`; the rest is the slot's content, zeros.
  @inline(__always)
  mutating func queueDatagram(_ bytes: RawSpan, byteCount: Int, client: Int) {
    if nextSlot == Self.slotCount { flushDatagrams() }
    outgoing.copy(bytes, into: nextSlot, at: 0)
    let descriptor = sockets[Slot(index: isShared ? 0 : UInt32(client))].rawValue
    sends.append(
      descriptor, outgoing, slot: nextSlot, range: 0..<byteCount, to: settings.server,
      from: isShared ? source(client) : nil)
    nextSlot += 1
  }

  mutating func flush() throws(LoadError) {
    if settings.usesLinks {
      for client in dirty { try links[client].flush() }
      dirty.removeAll(keepingCapacity: true)
    } else {
      flushDatagrams()
    }
  }

  private mutating func flushDatagrams() {
    sends.flush()
    nextSlot = 0
  }

  // MARK: - Receiving

  /// Waits for at most `duration` and receives messages into `inbox`; returns their number.
  mutating func poll(for duration: Duration) throws(LoadError) -> Int {
    inbox.removeAll(keepingCapacity: true)
    if isShared {
      if duration != .zero { _ = loop.wait(for: duration) }
      receiveShared()
      return inbox.count
    }
    var slot = 0
    for index in 0..<loop.wait(for: duration) where slot < Self.slotCount {
      let event = loop.event(index)
      let client = Int(event.token.index)
      if event.token.kind == 1 {
        slot += receiveDatagrams(client, firstSlot: slot)
      } else if event.token.generation == renewals[client] {
        if try receiveStream(client, isWritable: event.isWritable, slot: slot) { slot += 1 }
      }
    }
    return inbox.count
  }

  private mutating func receiveShared() {
    // An error here is the ICMP error of an earlier packet; reading it has cleared it.
    let received =
      (try? batch.receive(from: sockets[Slot(index: 0)].rawValue, firstSlot: 0, limit: Self.slotCount)) ?? 0
    for slot in 0..<received {
      guard let local = batch.ancillary(slot).localAddress, local.ipv4Bits >= Self.firstAddress else { continue }
      let client = Int(local.ipv4Bits - Self.firstAddress) % count
      inbox.append(Incoming(client: client, slot: slot, range: 0..<batch.byteCount(slot)))
    }
  }

  private mutating func receiveDatagrams(_ client: Int, firstSlot: Int) -> Int {
    let socket = Slot<UDPSocket>(index: UInt32(client))
    guard sockets.isTaken(socket) else { return 0 }
    let limit = count == 1 ? Self.slotCount : 8
    let received = (try? batch.receive(from: sockets[socket].rawValue, firstSlot: firstSlot, limit: limit)) ?? 0
    for slot in firstSlot..<(firstSlot + received) {
      for range in batch.datagrams(slot) { inbox.append(Incoming(client: client, slot: slot, range: range)) }
    }
    return received
  }

  /// Reads a link's messages into the slot; returns whether it used the slot.
  private mutating func receiveStream(_ client: Int, isWritable: Bool, slot: Int) throws(LoadError) -> Bool {
    let link = links[client]
    if isWritable {
      let isReady = try link.advance()
      if isReady || link.stage == .handshaking, link.waitingByteCount == 0 { watch(client, writes: false) }
    }
    guard link.stage == .ready || link.stage == .handshaking,
      let end = try link.read(into: &received, slot: slot, ciphertext: &ciphertext)
    else { return false }
    guard settings.transport.isStream else {
      inbox.append(Incoming(client: client, slot: slot, range: 0..<end))
      return true
    }
    try cutFrames(link, client: client, slot: slot, end: end)
    return true
  }

  private mutating func cutFrames(_ link: StreamLink, client: Int, slot: Int, end: Int) throws(LoadError) {
    var start = 0
    while start < end {
      let frame = StreamFrame(received.bytes(slot, start..<end), allowsChannelData: link.hasSeenMessage)
      switch frame {
      case .message(let count):
        link.hasSeenMessage = true
        inbox.append(Incoming(client: client, slot: slot, range: start..<(start + count)))
        start += count
      case .channelData(let count, let padded):
        inbox.append(Incoming(client: client, slot: slot, range: start..<(start + count)))
        start += padded
      case .incomplete:
        link.partial = received.bytes(slot, start..<end).copied()
        return
      case .invalid: throw .closed
      }
    }
    link.partial.removeAll(keepingCapacity: true)
  }

  private func watch(_ client: Int, writes: Bool) {
    let token = EventToken(kind: 2, index: UInt32(client), generation: renewals[client])
    try? loop.modify(links[client].socket.rawValue, token, reads: true, writes: writes)
  }

  /// Retries to send the bytes that the kernel did not accept.
  mutating func pushWaiting() throws(LoadError) {
    for link in links { try link.pushWaiting() }
  }
}
