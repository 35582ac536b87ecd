internal import CLinux
public import NetworkTypes
public import System

/// A client's socket: UDP, connected to a server or open to every peer, or a TCP connection. It never blocks;
/// `Readiness` waits for it.
public struct ClientSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  /// The descriptor, for `Readiness` and event loops.
  public var rawValue: Int32 { descriptor.rawValue }

  /// The socket's local address; nil if the kernel does not report it.
  public var localAddress: SocketAddress? { Sockets.localAddress(descriptor.rawValue) }

  init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// A UDP socket connected to one server: the kernel drops packets from other sources, and reports ICMP errors.
  public static func udp(to remote: SocketAddress, from local: SocketAddress? = nil) throws(Errno) -> ClientSocket {
    let socket = ClientSocket(try Sockets.open(remote.family, SOCK_DGRAM))
    if let local { try Sockets.bind(socket.rawValue, to: local) }
    let raw = socket.rawValue
    try retrying { unsafe remote.withKernelForm { unsafe clinux_connect(raw, $0, $1) } }
    return socket
  }

  /// A UDP socket that receives datagrams from every address.
  public static func udp(boundTo local: SocketAddress) throws(Errno) -> ClientSocket {
    let socket = ClientSocket(try Sockets.open(local.family, SOCK_DGRAM))
    if local.family == .ipv6 { try Sockets.set(socket.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    try Sockets.bind(socket.rawValue, to: local)
    return socket
  }

  /// Begins a TCP connection: it is established when the socket becomes writable and `takePendingError` returns nil.
  public static func tcp(to remote: SocketAddress, from local: SocketAddress? = nil) throws(Errno) -> ClientSocket {
    let socket = ClientSocket(try Sockets.open(remote.family, SOCK_STREAM))
    if let local {
      // One local port may have connections to several servers, and an earlier one in TIME-WAIT.
      try Sockets.set(socket.rawValue, SOL_SOCKET, SO_REUSEADDR, 1)
      try Sockets.bind(socket.rawValue, to: local)
    }
    try Sockets.set(socket.rawValue, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    let raw = socket.rawValue
    do {
      try retrying { unsafe remote.withKernelForm { unsafe clinux_connect(raw, $0, $1) } }
    } catch  where error == .inProgress {
      return socket
    }
    return socket
  }

  /// Reads and clears the socket's pending error (SO_ERROR).
  public func takePendingError() -> Errno? {
    guard let value = Sockets.get(descriptor.rawValue, SOL_SOCKET, SO_ERROR), value != 0 else { return nil }
    return Errno(rawValue: value)
  }

  /// Receives a datagram, cut to the span's length, or bytes of a stream.
  public func receive(into buffer: inout MutableRawSpan, isStream: Bool) -> ReadResult<Errno> {
    let raw = descriptor.rawValue
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      repeat {
        let count = unsafe recv(raw, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
        if count >= 0 || Errno.current != .interrupted { return count }
      } while true
    }
    if count > 0 || (count == 0 && !isStream) { return .bytes(count) }
    if count == 0 { return .closed }
    let error = Errno.current
    return error == .wouldBlock ? .wouldBlock : .failed(error)
  }

  /// Receives a datagram and its source.
  public func receive(into buffer: inout MutableRawSpan, from sender: inout SocketAddress) -> ReadResult<Errno> {
    let raw = descriptor.rawValue
    var storage = sockaddr_storage()
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe SingleMessage.with(bytes, &storage) { message in
        while true {
          let count = unsafe recvmsg(raw, &message, Int32(MSG_DONTWAIT))
          if count >= 0 || Errno.current != .interrupted { return count }
        }
      }
    }
    guard count >= 0 else {
      let error = Errno.current
      return error == .wouldBlock ? .wouldBlock : .failed(error)
    }
    if let address = unsafe SocketAddress(from: &storage) { sender = address }
    return .bytes(count)
  }

  /// Sends to the connected address; returns the number of bytes that the kernel accepted, 0 if it has no room.
  public func send(_ bytes: RawSpan) throws(Errno) -> Int {
    let raw = descriptor.rawValue
    do {
      return try retrying {
        unsafe bytes.withUnsafeBytes { buffer in
          unsafe CLinux.send(
            raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
      }
    } catch  where error == .wouldBlock {
      return 0
    }
  }

  /// Sends a datagram to a peer; false if the kernel has no room.
  public func send(_ bytes: RawSpan, to peer: SocketAddress) throws(Errno) -> Bool {
    let raw = descriptor.rawValue
    do {
      try retrying {
        unsafe bytes.withUnsafeBytes { buffer in
          unsafe peer.withKernelForm { name, length in
            unsafe clinux_sendto(
              raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), name, length)
          }
        }
      }
      return true
    } catch  where error == .wouldBlock {
      return false
    }
  }
}

/// Waits for descriptors, for clients without an event loop.
public enum Readiness {
  /// Waits until the descriptor is readable or has an error, or is writable if `writing`. False if the deadline comes
  /// first.
  public static func wait(for descriptor: Int32, writing: Bool = false, until deadline: Instant) -> Bool {
    while true {
      let left = deadline.nanoseconds(since: .read())
      // The time is rounded up: a wait of zero milliseconds for the last microseconds would spin.
      let milliseconds = Int32(clamping: (left + 999_999) / 1_000_000)
      var entry = pollfd(fd: descriptor, events: Int16(writing ? POLLOUT : POLLIN), revents: 0)
      let count = unsafe poll(&entry, 1, milliseconds)
      if count > 0 { return true }
      if count < 0, Errno.current != .interrupted { return false }
      if Instant.read() >= deadline { return false }
    }
  }

  /// Waits until one of the descriptors is readable or has an error. False if the deadline comes first.
  public static func wait(forAnyOf descriptors: [Int32], until deadline: Instant) -> Bool {
    var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
      let left = deadline.nanoseconds(since: .read())
      let count = unsafe poll(&entries, nfds_t(entries.count), Int32(clamping: (left + 999_999) / 1_000_000))
      if count > 0 { return true }
      if count < 0, Errno.current != .interrupted { return false }
      if Instant.read() >= deadline { return false }
    }
  }

  /// Sleeps until the deadline.
  public static func sleep(until deadline: Instant) {
    while true {
      let left = deadline.nanoseconds(since: .read())
      if left == 0 { return }
      _ = poll(nil, 0, Int32(clamping: (left + 999_999) / 1_000_000))
    }
  }
}

extension Errno {
  /// ENETUNREACH.
  public static let networkUnreachable = Errno(rawValue: ENETUNREACH)
  /// EHOSTUNREACH.
  public static let hostUnreachable = Errno(rawValue: EHOSTUNREACH)
}
