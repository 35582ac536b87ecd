internal import CLinux
public import NetworkTypes
public import System

/// The TCP side of a relayed transport address (RFC 6062): a listener, and connections that leave from its port.
extension StreamListener {
  /// Listens on a relayed transport address that no other socket uses, and allows outgoing connections from the same
  /// port.
  public init(relayingOn address: SocketAddress) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: address, sharesPort: false)
    let raw = descriptor.rawValue
    // The option is set after bind: before bind it would allow a port on which another socket already listens.
    try Sockets.set(raw, SOL_SOCKET, SO_REUSEPORT, 1)
    try retrying { listen(raw, 64) }
    self.init(owning: descriptor)
  }
}

extension StreamSocket {
  /// Begins a connection from a relayed transport address to a peer. When it is writable, `connectError` has the
  /// result.
  public init(connectingFrom local: SocketAddress, to remote: SocketAddress) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: local, sharesPort: true)
    let raw = descriptor.rawValue
    try? Sockets.set(raw, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    do throws(Errno) {
      try retrying { unsafe remote.withKernelForm { unsafe clinux_connect(raw, $0, $1) } }
    } catch {
      guard error == .inProgress else { throw error }
    }
    self.init(descriptor, remote: remote, local: local)
  }

  /// The error of the connection attempt; nil if the connection is established.
  public var connectError: Errno? {
    guard let value = Sockets.get(rawValue, SOL_SOCKET, SO_ERROR) else { return .invalidArgument }
    return value == 0 ? nil : Errno(rawValue: value)
  }

  /// Ends our direction of the stream; reading continues.
  public func endWriting() { _ = shutdown(rawValue, Int32(SHUT_WR)) }
}
