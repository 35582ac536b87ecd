internal import NetIO
internal import NetworkTypes
internal import TURN

/// NAT behaviour discovery (RFC 5780): every shard has the four sockets, and can answer from any of them.
extension Shard {
  mutating func locate(_ path: ClientPath, _ bytes: [UInt8]) {
    let endpoint = endpoints.endpoint(path.endpoint)
    var local = plan.listeners[endpoint.listener].address
    if let source = endpoint.source { local.address = source }
    relay.receiveLocated(bytes, from: path, at: local, now: now)
  }

  /// Sends a response from one of our transport addresses, over its listener's socket.
  mutating func reply(_ bytes: [UInt8], to target: SocketAddress, from local: SocketAddress) {
    guard
      let listener = ListenerPlan.index(of: local, in: plan.listeners), bytes.count <= PacketBuffers.capacity,
      let socket = datagramListeners.socket(of: listener)
    else { return }
    plane.sends.trafficClass = 0
    let slot = plane.replySlot()
    plane.buffers.copy(bytes.span.rawBytes, into: slot, at: 0)
    plane.sendToClient(
      over: socket, target,
      from: plan.listeners[listener].address.address.isUnspecified ? local.address : nil, slot: slot,
      range: 0..<bytes.count)
  }
}

extension ListenerPlan {
  /// The datagram listener of our transport address: one on exactly this address, else one on every address.
  static func index(of address: SocketAddress, in listeners: [ListenerPlan]) -> ListenerNumber? {
    func isDatagram(_ listener: ListenerPlan) -> Bool { !listener.transport.isStream }
    let index =
      listeners.firstIndex { isDatagram($0) && $0.address == address }
      ?? listeners.firstIndex {
        isDatagram($0) && $0.address.address.isUnspecified && $0.address.family == address.family
          && $0.address.port == address.port
      }
    return index.map(ListenerNumber.init)
  }

  /// Plans for the transport addresses of NAT discovery that no listener has.
  static func missing(for discovery: DiscoveryAddresses?, in listeners: [ListenerPlan]) -> [ListenerPlan] {
    (discovery?.all ?? []).filter { index(of: $0, in: listeners) == nil }.map {
      ListenerPlan(transport: .udp, address: $0, auto: true)
    }
  }
}

extension DiscoveryAddresses {
  /// Nil unless both addresses are configured.
  init?(primary: SocketAddress?, alternate: SocketAddress?) {
    guard let primary, let alternate else { return nil }
    self.init(primary: primary, alternate: alternate)
  }
}
