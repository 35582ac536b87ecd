internal import CLinux
public import NetworkTypes

/// The TCP side of a relayed transport address (RFC 6062): a listener, and connections that leave from its port.
extension StreamListener {
  /// Listens on a relayed transport address that nobody else has, and lets connections leave from the same port.
  public init(relayingOn address: SocketAddress) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: address, sharesPort: false)
    let raw = descriptor.rawValue
    // Only now: before, it would share the port with whoever listens there already.
    try Sockets.set(raw, SOL_SOCKET, SO_REUSEPORT, 1)
    try retrying32 { listen(raw, 64) }
    self.init(owning: descriptor)
  }
}

extension StreamSocket {
  /// Begins to connect from a relayed transport address to a peer. Once it is writable, `connectError` tells what
  /// became of it.
  public init(connectingFrom local: SocketAddress, to remote: SocketAddress) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: local, sharesPort: true)
    let raw = descriptor.rawValue
    try? Sockets.set(raw, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    do throws(Errno) {
      try retrying32 { unsafe remote.withKernelForm { unsafe clinux_connect(raw, $0, $1) } }
    } catch {
      guard error == .inProgress else { throw error }
    }
    self.init(descriptor, remote: remote, local: local)
  }

  /// What became of connecting: nil where the connection is there.
  public var connectError: Errno? {
    guard let value = Sockets.get(rawValue, SOL_SOCKET, SO_ERROR) else { return .invalidArgument }
    return value == 0 ? nil : Errno(rawValue: value)
  }

  public enum PipeReadResult: Equatable, Sendable {
    case bytes(Int)
    case wouldBlock
    /// The other side sends nothing more; it may still read.
    case ended
    /// The connection is broken.
    case failed
  }

  /// Reads at most `limit` bytes into a slot, and tells an orderly end from a broken connection.
  public func readPipe(into buffers: inout PacketBuffers, slot: Int, limit: Int) -> PipeReadResult {
    let start = unsafe buffers.start(of: slot)
    let room = min(limit, PacketBuffers.capacity)
    guard room > 0 else { return .wouldBlock }
    while true {
      let count = unsafe recv(rawValue, start, room, Int32(MSG_DONTWAIT))
      if count > 0 { return .bytes(count) }
      if count == 0 { return .ended }
      let error = Errno.current
      if error == .interrupted { continue }
      return error == .wouldBlock ? .wouldBlock : .failed
    }
  }

  /// Says that nothing more will be sent; reading goes on.
  public func endWriting() { _ = shutdown(rawValue, Int32(SHUT_WR)) }
}
