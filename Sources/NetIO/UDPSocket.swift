internal import CLinux
public import NetworkTypes
public import System

/// A bound UDP socket.
public struct UDPSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  /// Whether the socket is bound to every address: then received datagrams report their local address, and answers must
  /// set one.
  public let isWildcard: Bool

  /// The descriptor, for an event loop and for batches.
  public var rawValue: Int32 { descriptor.rawValue }

  /// A listening socket whose port several threads of this process share (SO_REUSEPORT).
  ///
  /// - Throws: for example `addressInUse`. `PortProbe` finds out whether another process has the port: with
  ///   SO_REUSEPORT a second server of the same user would bind without an error.
  public init(listeningOn address: SocketAddress, buffers: ByteCount = SocketBuffers.wanted) throws(Errno) {
    let descriptor = try Sockets.open(address.family, SOCK_DGRAM)
    let isWildcard = address.address.isUnspecified
    let raw = descriptor.rawValue
    try Sockets.set(raw, SOL_SOCKET, SO_REUSEPORT, 1)
    switch address.family {
    case .ipv4:
      try? Sockets.set(raw, Int32(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
      if isWildcard { try Sockets.set(raw, Int32(IPPROTO_IP), IP_PKTINFO, 1) }
    case .ipv6:
      try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
      if isWildcard { try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_RECVPKTINFO, 1) }
    }
    Sockets.setBuffers(raw, size: buffers)
    try Sockets.bind(raw, to: address)
    self.descriptor = descriptor
    self.isWildcard = isWildcard
  }

  /// The socket of a relayed transport address.
  public init(relayingOn address: SocketAddress, buffers: ByteCount = .mebibytes(1)) throws(Errno) {
    var mayForceBuffers = true
    try self.init(relayingOn: address, buffers: buffers, mayForceBuffers: &mayForceBuffers)
  }

  /// The socket of a relayed transport address.
  ///
  /// - Parameter mayForceBuffers: whether to ask for buffers beyond the system's limit; false afterwards if the process
  ///   may not, which saves the next Allocate two refused system calls.
  public init(
    relayingOn address: SocketAddress, buffers: ByteCount = .mebibytes(1), mayForceBuffers: inout Bool
  ) throws(Errno) {
    let descriptor = try Sockets.open(address.family, SOCK_DGRAM)
    let raw = descriptor.rawValue
    switch address.family {
    // RFC 8656 section 15: DF is 0 unless a client requests it. With IP_PMTUDISC_DONT the kernel would not report
    // "fragmentation needed" (section 11.5).
    case .ipv4: try? Sockets.set(raw, Int32(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
    case .ipv6: try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
    }
    Sockets.setBuffers(raw, size: buffers, mayForce: &mayForceBuffers)
    // If this fails, only the reports of ICMP errors are missing.
    try? ICMPErrorQueue.enable(on: raw, address.family)
    try Sockets.bind(raw, to: address)
    self.descriptor = descriptor
    isWildcard = false
  }

  /// Takes ownership of a bound socket, with the options that it has.
  public init(owning descriptor: consuming FileDescriptor) {
    isWildcard = Sockets.localAddress(descriptor.rawValue)?.address.isUnspecified ?? false
    self.descriptor = descriptor
  }

  /// The socket's address; nil if the kernel does not report it.
  public var localAddress: SocketAddress? { Sockets.localAddress(descriptor.rawValue) }

  /// Makes the kernel report DSCP and ECN of received datagrams, until a `TrafficClassWatch` finds that none is marked.
  public func reportTrafficClass(_ family: IPAddress.Family) {
    TrafficClassWatch.set(rawValue, family, reports: true)
  }

  /// Releases the descriptor without closing it.
  consuming func release() -> Int32 { descriptor.release() }
}

/// Finds out whether another process has a port, before SO_REUSEPORT would share it.
public enum PortProbe {
  /// Checks that a port is free. A killed process may hold its ports until the kernel has closed its io_uring, so a
  /// used port is tried again for 400 ms.
  ///
  /// - Throws: the error of a plain bind: `addressInUse` if another process listens.
  public static func check(_ address: SocketAddress, isStream: Bool) throws(Errno) {
    for _ in 0..<attempts {
      do throws(Errno) { return try bind(address, isStream: isStream) } catch {
        guard error == .addressInUse else { throw error }
        Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
      }
    }
    try bind(address, isStream: isStream)
  }

  /// Checks that a port is free, without retries.
  public static func checkOnce(_ address: SocketAddress, isStream: Bool) throws(Errno) {
    try bind(address, isStream: isStream)
  }

  private static let attempts = 20

  private static func bind(_ address: SocketAddress, isStream: Bool) throws(Errno) {
    let descriptor = try Sockets.open(address.family, isStream ? SOCK_STREAM : SOCK_DGRAM)
    let raw = descriptor.rawValue
    if address.family == .ipv6 { try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    // Connections in TIME-WAIT must not block a restarted server; listeners still do.
    if isStream { try Sockets.set(raw, SOL_SOCKET, SO_REUSEADDR, 1) }
    try Sockets.bind(raw, to: address)
    if isStream { try retrying { listen(raw, 1) } }
  }
}
