internal import CLinux
public import NetworkTypes

/// A bound UDP socket.
public struct UDPSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  /// Whether it is bound to every address, so that datagrams tell theirs and answers must name one.
  public let isWildcard: Bool

  public var rawValue: Int32 { descriptor.rawValue }

  /// A listening socket that several threads of this process share the port of (SO_REUSEPORT).
  ///
  /// - Throws: `addressInUse` and the like. Whether another process has the port is for `PortProbe` to find out: with
  ///   SO_REUSEPORT a second server of the same user would bind without an error.
  public init(listeningOn address: SocketAddress, bufferByteCount: Int32 = 4 << 20) throws(Errno) {
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
    Sockets.setBuffers(raw, byteCount: bufferByteCount)
    try Sockets.bind(raw, to: address)
    self.descriptor = descriptor
    self.isWildcard = isWildcard
  }

  /// A relay's socket on a transport address of its own.
  public init(relayingOn address: SocketAddress, bufferByteCount: Int32 = 1 << 20) throws(Errno) {
    let descriptor = try Sockets.open(address.family, SOCK_DGRAM)
    let raw = descriptor.rawValue
    switch address.family {
    // RFC 8656 section 15: DF is 0 unless a client asks for it. Not IP_PMTUDISC_DONT, with which the kernel keeps the
    // news that a datagram was too large to itself (section 11.5).
    case .ipv4: try? Sockets.set(raw, Int32(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
    case .ipv6: try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
    }
    Sockets.setBuffers(raw, byteCount: bufferByteCount)
    // Without it ICMP messages are lost and all else is as ever.
    try? ErrorQueue.enable(on: raw, address.family)
    try Sockets.bind(raw, to: address)
    self.descriptor = descriptor
    isWildcard = false
  }

  public var localAddress: SocketAddress? { Sockets.localAddress(descriptor.rawValue) }

  /// Has the kernel tell DSCP and ECN of what comes in, until a `TrafficClassWatch` finds that nobody sets them.
  public func tellTrafficClass(_ family: IPAddress.Family) {
    TrafficClassWatch.set(rawValue, family, tells: true)
  }

  /// Gives the descriptor up without closing it.
  consuming func release() -> Int32 { descriptor.release() }
}

/// Finds out whether anybody else has a port, before SO_REUSEPORT would share it with them.
public enum PortProbe {
  /// A process that was killed a moment ago may hold its ports yet, until the kernel has torn its io_uring down: so
  /// one that is in use is looked at again for a while.
  ///
  /// - Throws: what a plain bind fails with: `addressInUse` where another process listens.
  public static func check(_ address: SocketAddress, isStream: Bool) throws(Errno) {
    for _ in 0..<patience {
      do throws(Errno) { return try bind(address, isStream: isStream) } catch {
        guard error == .addressInUse else { throw error }
        Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 20))
      }
    }
    try bind(address, isStream: isStream)
  }

  private static let patience = 20

  private static func bind(_ address: SocketAddress, isStream: Bool) throws(Errno) {
    let descriptor = try Sockets.open(address.family, isStream ? SOCK_STREAM : SOCK_DGRAM)
    let raw = descriptor.rawValue
    if address.family == .ipv6 { try Sockets.set(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    // Connections that closed a moment ago must not keep a restarted server out; listeners still do.
    if isStream { try Sockets.set(raw, SOL_SOCKET, SO_REUSEADDR, 1) }
    try Sockets.bind(raw, to: address)
    if isStream { try retrying32 { listen(raw, 1) } }
  }
}
