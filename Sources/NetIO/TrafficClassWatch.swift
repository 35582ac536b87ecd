internal import CLinux
public import NetworkTypes

/// Decides whether a socket reports DSCP and ECN of received datagrams (RFC 8656 section 14).
///
/// Reports cost the kernel about 80 ns for each datagram, and most datagrams are not marked. So a socket stops its
/// reports after a run of unmarked datagrams, and tries again every few thousand datagrams: permanent marks are found,
/// and without marks each datagram costs only a counter.
public struct TrafficClassWatch: BitwiseCopyable, Sendable {
  private var datagrams: UInt16 = 0
  private var isReporting = true

  /// Unmarked datagrams before reports stop.
  static let unmarkedLimit: UInt16 = 32
  /// Datagrams before reports are tried again.
  static let pause: UInt16 = 2048

  public init() {}

  /// Counts a datagram; true if the caller must call `switchOver`.
  @inline(__always)
  public mutating func count(_ trafficClass: UInt8) -> Bool {
    datagrams &+= 1
    if isReporting {
      if trafficClass != 0 { datagrams = 0 }
      return datagrams >= Self.unmarkedLimit
    }
    return datagrams >= Self.pause
  }

  /// Starts or stops the socket's reports.
  public mutating func switchOver(_ descriptor: Int32, _ family: IPAddress.Family) {
    datagrams = 0
    isReporting.toggle()
    Self.set(descriptor, family, reports: isReporting)
  }

  /// Sets whether the kernel reports the traffic class.
  static func set(_ descriptor: Int32, _ family: IPAddress.Family, reports: Bool) {
    switch family {
    case .ipv4: try? Sockets.set(descriptor, Int32(IPPROTO_IP), IP_RECVTOS, reports ? 1 : 0)
    case .ipv6: try? Sockets.set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVTCLASS, reports ? 1 : 0)
    }
  }
}
