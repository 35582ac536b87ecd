internal import CLinux
public import NetworkTypes

/// Whether a socket tells the DSCP and ECN of what it receives (RFC 8656 section 14).
///
/// The kernel wants some 80 ns for telling them with each datagram, and few ever mark anything. So a socket tells until
/// a run of datagrams was without marks, then rests, and is asked again for a while every few thousand datagrams: what is
/// marked all along is noticed, and what is not costs a counter.
public struct TrafficClassWatch: BitwiseCopyable, Sendable {
  private var count: UInt16 = 0
  private var isTelling = true

  /// So many datagrams without a mark, and a socket rests.
  static let patience: UInt16 = 32
  /// So many datagrams, and it is asked again.
  static let rest: UInt16 = 2048

  public init() {}

  /// Notes a datagram; true where the socket is to be switched over, by `switchOver`.
  @inline(__always)
  public mutating func note(_ trafficClass: UInt8) -> Bool {
    count &+= 1
    if isTelling {
      if trafficClass != 0 { count = 0 }
      return count >= Self.patience
    }
    return count >= Self.rest
  }

  /// Has the socket tell from now on, or rest.
  public mutating func switchOver(_ descriptor: Int32, _ family: IPAddress.Family) {
    count = 0
    isTelling.toggle()
    Self.set(descriptor, family, tells: isTelling)
  }

  /// What a socket begins with.
  static func set(_ descriptor: Int32, _ family: IPAddress.Family, tells: Bool) {
    switch family {
    case .ipv4: try? Sockets.set(descriptor, Int32(IPPROTO_IP), IP_RECVTOS, tells ? 1 : 0)
    case .ipv6: try? Sockets.set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVTCLASS, tells ? 1 : 0)
    }
  }
}
