internal import CLinux
internal import NetworkTypes
internal import System

/// Small wrappers over socket(2) and setsockopt(2).
enum Sockets {
  static func open(_ family: IPAddress.Family, _ type: __socket_type) throws(Errno) -> FileDescriptor {
    let kind = Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = try retrying { socket(family == .ipv4 ? AF_INET : AF_INET6, kind, 0) }
    return FileDescriptor(owning: descriptor)
  }

  static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(Errno) {
    var value = value
    try retrying {
      unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  /// Opens a TCP socket bound to an address.
  ///
  /// - Parameter sharesPort: whether other sockets of this process may use the port too (SO_REUSEPORT).
  static func openStream(boundTo address: SocketAddress, sharesPort: Bool) throws(Errno) -> FileDescriptor {
    let descriptor = try open(address.family, SOCK_STREAM)
    let raw = descriptor.rawValue
    try set(raw, SOL_SOCKET, SO_REUSEADDR, 1)
    if sharesPort { try set(raw, SOL_SOCKET, SO_REUSEPORT, 1) }
    if address.family == .ipv6 { try set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    try bind(raw, to: address)
    return descriptor
  }

  static func get(_ descriptor: Int32, _ level: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard unsafe getsockopt(descriptor, level, option, &value, &length) == 0 else { return nil }
    return value
  }

  static func bind(_ descriptor: Int32, to address: SocketAddress) throws(Errno) {
    try retrying { unsafe address.withKernelForm { unsafe clinux_bind(descriptor, $0, $1) } }
  }

  /// The address a socket is bound to.
  static func localAddress(_ descriptor: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let status = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe clinux_getsockname(descriptor, $0, &length)
      }
    }
    guard status == 0 else { return nil }
    return unsafe SocketAddress(from: &storage)
  }

  /// Requests the size of receive and send buffers, beyond the system's limit if the process may. The kernel may give
  /// less.
  ///
  /// - Parameter mayForce: whether to try a size beyond the limit; false afterwards if the kernel refuses it
  ///   (CAP_NET_ADMIN), so that the next socket saves the system calls.
  static func setBuffers(_ descriptor: Int32, size: ByteCount, mayForce: inout Bool) {
    let byteCount = Int32(clamping: size.rawValue)
    for (force, plain) in [(SO_RCVBUFFORCE, SO_RCVBUF), (SO_SNDBUFFORCE, SO_SNDBUF)] {
      if mayForce, (try? set(descriptor, SOL_SOCKET, force, byteCount)) != nil { continue }
      mayForce = false
      try? set(descriptor, SOL_SOCKET, plain, byteCount)
    }
  }

  static func setBuffers(_ descriptor: Int32, size: ByteCount) {
    var mayForce = true
    setBuffers(descriptor, size: size, mayForce: &mayForce)
  }
}
