internal import Log
internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// Connections from proxies: a header of the PROXY protocol names the client's address, which replaces the connection's
/// own address in every later use.
extension Shard {
  func trusts(_ proxy: IPAddress) -> Bool { trustedProxies.contains { $0.contains(proxy) } }

  /// Reads the header at the beginning of a slot, and moves the bytes after it to the slot's beginning. Returns their
  /// number; nil if the header is not whole yet, or is refused and the connection closed.
  mutating func readProxyHeader(_ connection: Slot<Connection>, slot: Int, count: Int) -> Int? {
    let header = ProxyHeader(plane.buffers.bytes(slot, 0..<count))
    switch header {
    case .incomplete:
      keepPartialFrame(connection, slot: slot, 0..<count, from: 0)
      return nil
    case .invalid(let reason):
      recordProxyRefusal(streams[connection].path.address.address, reason.rawValue)
      close(connection)
      return nil
    case .local(let byteCount):
      streams[connection].endProxyHeader(
        streams[connection].path, localAddress: streams[connection].localAddress)
      return moveRest(connection, slot: slot, byteCount..<count)
    case .proxied(let source, let destination, let byteCount):
      let isBanned = relay.isBanned(source.address)
      if isBanned { relay.countDrop(.banned) }
      guard !isBanned, name(connection, source, connectedTo: destination.address) else {
        close(connection)
        return nil
      }
      return moveRest(connection, slot: slot, byteCount..<count)
    }
  }

  /// Gives a connection the client's address, and counts the connection for that address. False if it must be closed.
  private mutating func name(
    _ connection: Slot<Connection>, _ client: SocketAddress, connectedTo local: IPAddress
  ) -> Bool {
    let old = streams[connection].path
    let listener = endpoints.endpoint(old.endpoint).listener
    guard let endpoint = endpoints.id(listener: listener, source: local) else {
      countLimit(.endpoints, client.address)
      return false
    }
    guard plan.connections.rename(old.address.address, to: client.address) else {
      countLimit(.connectionsPerAddress, client.address)
      return false
    }
    let handle = streams.handle(of: connection)
    streams.strangers.remove(handle, from: old.address.address)
    streams.strangers.append(handle, from: client.address)
    streams.charged.change(old.address.address, by: -streams[connection].charge)
    streams.charged.change(client.address, by: streams[connection].charge)
    let path = ClientPath(address: client, endpoint: endpoint, transport: .tcp, realm: old.realm)
    streams[connection].endProxyHeader(path, localAddress: local)
    return true
  }

  private mutating func moveRest(_ connection: Slot<Connection>, slot: Int, _ range: Range<Int>) -> Int {
    keepPartialFrame(connection, slot: slot, 0..<range.upperBound, from: range.lowerBound)
    return restorePartialFrame(connection, slot: slot)
  }

  /// Counts and logs a refused connection, one line in ten seconds for each address.
  mutating func recordProxyRefusal(_ address: IPAddress, _ reason: String) {
    metrics.refusedProxies &+= 1
    plan.log.limited(
      .warning, "proxy-refused", source: Self.source(SocketAddress(address, port: 0)), ("address", "\(address)"),
      ("reason", .text(reason)), ("effect", "the connection has been closed"))
  }
}
