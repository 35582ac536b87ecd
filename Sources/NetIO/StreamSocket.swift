internal import CLinux
public import NetworkTypes
public import System

/// A socket that accepts connections; several threads of this process may share its port (SO_REUSEPORT).
public struct StreamListener: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  /// The descriptor, readable while a connection waits.
  public var rawValue: Int32 { descriptor.rawValue }

  public init(listeningOn address: SocketAddress, backlog: Int32 = 1024) throws(Errno) {
    let descriptor = try Sockets.openStream(boundTo: address, sharesPort: true)
    let raw = descriptor.rawValue
    try retrying { listen(raw, backlog) }
    self.descriptor = descriptor
  }

  /// Takes ownership of a listening socket.
  public init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// The listener's address; nil if the kernel does not report it.
  public var localAddress: SocketAddress? { Sockets.localAddress(descriptor.rawValue) }

  /// Takes the next connection; nil if none waits. The error of a connection that ended while it waited counts as none.
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
    guard let remote = unsafe SocketAddress(from: &storage), let local = Sockets.localAddress(accepted) else {
      return nil
    }
    // Media is written in small pieces: Nagle's algorithm would only delay it.
    try? Sockets.set(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return StreamSocket(owned, remote: remote, local: local)
  }
}

/// A connection of a byte stream.
public struct StreamSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  /// The other side's address.
  public let remote: SocketAddress
  /// Our address of the connection.
  public let local: SocketAddress

  /// The descriptor, for an event loop.
  public var rawValue: Int32 { descriptor.rawValue }

  public init(_ descriptor: consuming FileDescriptor, remote: SocketAddress, local: SocketAddress) {
    self.descriptor = descriptor
    self.remote = remote
    self.local = local
  }

  /// The shortest round trip that TCP has measured in the last minutes, or else the smoothed one; nil without either.
  public var roundTrip: Duration? {
    // The part of struct tcp_info up to tcpi_min_rtt (Linux 4.6). Later kernels only append to it.
    var words = InlineArray<38, UInt32>(repeating: 0)
    let wanted = MemoryLayout<InlineArray<38, UInt32>>.size
    var length = socklen_t(wanted)
    guard unsafe getsockopt(descriptor.rawValue, Int32(IPPROTO_TCP), TCP_INFO, &words, &length) == 0,
      Int(length) == wanted
    else { return nil }
    let (smoothed, shortest) = (words[17], words[37])
    // Before the first measurement tcpi_min_rtt is the largest number.
    let value = shortest == .max || shortest == 0 ? smoothed : shortest
    return value == 0 ? nil : .microseconds(value)
  }

  /// Releases the descriptor without closing it.
  consuming func release() -> FileDescriptor { descriptor }

  /// Reads at most `limit` available bytes into a slot, from `offset` on.
  public func read(
    into buffers: inout PacketBuffers, slot: Int, offset: Int = 0, limit: Int = .max
  ) -> ReadResult<Errno> {
    let room = min(PacketBuffers.capacity - offset, limit)
    guard room > 0, offset >= 0 else { return .wouldBlock }
    let start = unsafe buffers.start(of: slot) + offset
    while true {
      let count = unsafe recv(descriptor.rawValue, start, room, Int32(MSG_DONTWAIT))
      if count > 0 { return .bytes(count) }
      if count == 0 { return .closed }
      let error = Errno.current
      if error == .interrupted { continue }
      return error == .wouldBlock ? .wouldBlock : .failed(error)
    }
  }

  /// Writes as many bytes as the kernel accepts; nil if the connection is closed, 0 if its buffer is full.
  public func write(_ bytes: RawSpan) -> Int? { Self.write(bytes, to: descriptor.rawValue) }

  /// The same for a thread that does not own the socket: the owner keeps it open meanwhile.
  public static func write(_ bytes: RawSpan, to descriptor: Int32) -> Int? {
    guard bytes.byteCount > 0 else { return 0 }
    return unsafe bytes.withUnsafeBytes { buffer in
      while true {
        let count = unsafe send(
          descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        if count >= 0 { return count }
        let error = Errno.current
        if error == .interrupted { continue }
        return error == .wouldBlock ? 0 : nil
      }
    }
  }
}
