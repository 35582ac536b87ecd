internal import CLinux
public import NetworkTypes

/// A socket that accepts connections; several threads of this process may share its port (SO_REUSEPORT).
public struct StreamListener: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  public init(listeningOn address: SocketAddress, backlog: Int32 = 1024) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: address, sharesPort: true)
    let raw = descriptor.rawValue
    try retrying32 { listen(raw, backlog) }
    self.descriptor = descriptor
  }

  /// Takes over a socket that listens.
  init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  public var localAddress: SocketAddress? { Sockets.localAddress(descriptor.rawValue) }

  /// Takes the next connection; nil where none waits. Errors of a connection that died while waiting count as none.
  public func accept() throws(Errno) -> StreamSocket? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let accepted = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe clinux_accept4(descriptor.rawValue, $0, &length, flags)
      }
    }
    guard accepted >= 0 else {
      let error = Errno.current
      if error == .tooManyFiles || error.rawValue == ENFILE || error == .noBuffers { throw error }
      return nil
    }
    let owned = FileDescriptor(owning: accepted)
    guard let remote = unsafe SocketAddress(from: &storage), let local = Sockets.localAddress(accepted) else { return nil }
    // Media in small writes: waiting to fill segments would only delay it.
    try? Sockets.set(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return StreamSocket(owned, remote: remote, local: local)
  }
}

/// A connection of a byte stream.
public struct StreamSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  public let remote: SocketAddress
  public let local: SocketAddress

  public var rawValue: Int32 { descriptor.rawValue }

  init(_ descriptor: consuming FileDescriptor, remote: SocketAddress, local: SocketAddress) {
    self.descriptor = descriptor
    self.remote = remote
    self.local = local
  }

  /// Gives the descriptor up without closing it.
  consuming func release() -> FileDescriptor { descriptor }

  public enum ReadResult: Equatable, Sendable {
    case bytes(Int)
    case wouldBlock
    /// The other side has closed, in order or not.
    case closed
  }

  /// Reads what is there into a slot, from `offset` on.
  public func read(into buffers: inout PacketBuffers, slot: Int, offset: Int) -> ReadResult {
    let room = PacketBuffers.capacity - offset
    guard room > 0, offset >= 0 else { return .wouldBlock }
    let start = unsafe buffers.start(of: slot) + offset
    while true {
      let count = unsafe recv(descriptor.rawValue, start, room, Int32(MSG_DONTWAIT))
      if count > 0 { return .bytes(count) }
      if count == 0 { return .closed }
      let error = Errno.current
      if error == .interrupted { continue }
      return error == .wouldBlock ? .wouldBlock : .closed
    }
  }

  /// Writes what the kernel takes; nil where the connection is gone, 0 where its buffer is full.
  public func write(_ bytes: RawSpan) -> Int? {
    guard bytes.byteCount > 0 else { return 0 }
    return unsafe bytes.withUnsafeBytes { buffer in
      while true {
        let count = unsafe send(
          descriptor.rawValue, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        if count >= 0 { return count }
        let error = Errno.current
        if error == .interrupted { continue }
        return error == .wouldBlock ? 0 : nil
      }
    }
  }
}
