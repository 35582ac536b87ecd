internal import NetIO
internal import NetworkTypes
internal import System

/// The peers of all flows on one socket. If the server is on loopback, each peer has its own address.
struct PeerSide: ~Copyable {
  private let socket: UDPSocket
  private let address: SocketAddress
  private let isShared: Bool
  private let received: PacketBuffers
  private var outgoing = PacketBuffers(slotCount: ClientSide.slotCount)
  private var nextSlot = 0
  private var batch: ReceiveBatch
  private var sends: SendBatch

  /// The first loopback address of the peers, 127.128.0.0.
  private static let firstAddress: UInt32 = 0x7F80_0000

  private init(_ settings: LoadSettings, socket: consuming UDPSocket, address: SocketAddress) {
    self.socket = socket
    self.address = address
    isShared = Self.isShared(settings)
    let buffers = PacketBuffers(slotCount: ClientSide.slotCount)
    batch = ReceiveBatch(for: buffers)
    received = buffers
    sends = SendBatch(capacity: ClientSide.slotCount, mergesRuns: settings.segments)
  }

  private static func isShared(_ settings: LoadSettings) -> Bool {
    settings.server.family == .ipv4 && settings.server.address.isLoopback && !settings.segments
  }

  /// Opens the socket on the address from which this machine reaches the server.
  static func open(_ settings: LoadSettings) throws(LoadError) -> PeerSide {
    let local = try settings.localAddress()
    do throws(Errno) {
      let socket =
        isShared(settings)
        ? try UDPSocket(listeningOn: SocketAddress(.ipv4Any, port: 0), buffers: .mebibytes(8))
        : try UDPSocket(relayingOn: SocketAddress(local.address, port: 0), buffers: .mebibytes(8))
      if settings.coalesces { _ = UDPOffload.enableReceiving(socket.rawValue) }
      let port = socket.localAddress?.port ?? 0
      return PeerSide(
        settings, socket: socket, address: SocketAddress(local.address, port: port, scope: local.scope))
    } catch {
      throw .socket("the peers' socket", reason: error.description)
    }
  }

  private func source(_ flow: Int) -> IPAddress? {
    isShared ? IPAddress(ipv4: Self.firstAddress + UInt32(truncatingIfNeeded: flow)) : nil
  }

  /// The transport address of a flow's peer.
  func address(of flow: Int) -> SocketAddress {
    source(flow).map { SocketAddress($0, port: address.port) } ?? address
  }

  // MARK: - Sending

  @inline(__always)
  mutating func queue(_ bytes: RawSpan, byteCount: Int, flow: Int, to relay: SocketAddress) {
    if nextSlot == ClientSide.slotCount { flush() }
    outgoing.copy(bytes, into: nextSlot, at: 0)
    sends.append(
      socket.rawValue, outgoing, slot: nextSlot, range: 0..<byteCount, to: relay, from: source(flow))
    nextSlot += 1
  }

  mutating func flush() {
    sends.flush()
    nextSlot = 0
  }

  // MARK: - Receiving

  struct Arrivals {
    var datagrams = 0
    /// Datagrams that carry our packets.
    var packets: UInt64 = 0
  }

  /// Receives a batch, sends it back if `echoes`, and adds the latencies to the histogram.
  mutating func receive(echoes: Bool, latency: inout LatencyHistogram, measures: Bool) -> Arrivals {
    var arrivals = Arrivals()
    // An error here is the ICMP error of an earlier packet; reading it has cleared it.
    arrivals.datagrams =
      (try? batch.receive(from: socket.rawValue, firstSlot: 0, limit: ClientSide.slotCount)) ?? 0
    guard arrivals.datagrams > 0 else { return arrivals }
    let now = Instant.read()
    for slot in 0..<arrivals.datagrams {
      for range in batch.datagrams(slot) {
        if let sent = Stamp.sent(received.bytes(slot, range)) {
          arrivals.packets += 1
          if measures { latency.add(now.nanoseconds(since: sent)) }
        }
        if echoes { echo(slot, range) }
      }
    }
    if echoes { sends.flush() }
    return arrivals
  }

  private mutating func echo(_ slot: Int, _ range: Range<Int>) {
    guard let relay = batch.source(slot) else { return }
    if sends.isFull { sends.flush() }
    sends.append(
      socket.rawValue, received, slot: slot, range: range, to: relay,
      from: isShared ? batch.ancillary(slot).localAddress : nil)
  }
}
