internal import CLinux
public import NetworkTypes
public import System

/// An ICMP error about a datagram of ours, or the local error that it exceeds the first link's MTU.
public struct ICMPReport: Equatable, Sendable {
  /// The destination of the datagram.
  public var destination: SocketAddress
  /// Type and code of the ICMP or ICMPv6 message, by the family of `destination`.
  public var type: UInt8
  public var code: UInt8
  /// The MTU of the next link, if the message has it (fragmentation needed, packet too big); else 0.
  public var mtu: UInt32
}

/// The kernel's queue of ICMP errors for a UDP socket (IP_RECVERR). While it is not empty, the socket's events report
/// an error: the caller must read it until it is empty.
public enum ICMPErrorQueue {
  /// Makes the kernel queue ICMP errors for the socket.
  public static func enable(on descriptor: Int32, _ family: IPAddress.Family) throws(Errno) {
    switch family {
    case .ipv4: try Sockets.set(descriptor, Int32(IPPROTO_IP), IP_RECVERR, 1)
    case .ipv6: try Sockets.set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVERR, 1)
    }
  }

  /// An item of the queue.
  public enum Item: Equatable, Sendable {
    case icmp(ICMPReport)
    /// An error of the host itself, or one without a destination.
    case other
  }

  /// Takes the oldest item; nil once the queue is empty.
  public static func next(from descriptor: Int32) -> Item? {
    var name = sockaddr_storage()
    // Room for the beginning of the datagram, which is not used.
    var payload: UInt64 = 0
    return unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 16) { control in
      unsafe withUnsafeMutableBytes(of: &payload) { payload in
        unsafe SingleMessage.with(payload, &name) { message -> Item? in
          // Sound: `name` and the control data live until the end of this closure.
          unsafe message.msg_control = control.baseAddress
          unsafe message.msg_controllen = control.count
          guard unsafe recvmsg(descriptor, &message, Int32(MSG_ERRQUEUE) | Int32(MSG_DONTWAIT)) >= 0 else {
            return nil
          }
          let name = unsafe message.msg_name.assumingMemoryBound(to: sockaddr_storage.self)
          return unsafe read(&message, SocketAddress(from: name))
        }
      }
    }
  }

  private static func read(_ message: inout msghdr, _ destination: SocketAddress?) -> Item {
    var entry = unsafe clinux_cmsg_first(&message)
    while let header = unsafe entry {
      let level = unsafe header.pointee.cmsg_level
      let type = unsafe header.pointee.cmsg_type
      let isError =
        level == Int32(IPPROTO_IP) && type == IP_RECVERR || level == Int32(IPPROTO_IPV6) && type == IPV6_RECVERR
      if isError, unsafe header.pointee.cmsg_len >= clinux_cmsg_len(MemoryLayout<sock_extended_err>.size) {
        // Sound: the length was just checked.
        let error = unsafe clinux_cmsg_data(header).loadUnaligned(as: sock_extended_err.self)
        // The datagram exceeds the MTU of the outgoing link. The report is like a router's "fragmentation needed".
        if Int32(error.ee_origin) == SO_EE_ORIGIN_LOCAL, error.ee_errno == UInt32(EMSGSIZE), let destination {
          return .icmp(
            ICMPReport(
              destination: destination, type: destination.family == .ipv4 ? 3 : 2,
              code: destination.family == .ipv4 ? 4 : 0, mtu: error.ee_info))
        }
        let isICMP = Int32(error.ee_origin) == SO_EE_ORIGIN_ICMP || Int32(error.ee_origin) == SO_EE_ORIGIN_ICMP6
        guard isICMP, let destination else { return .other }
        let isTooBig =
          destination.family == .ipv4 ? error.ee_type == 3 && error.ee_code == 4 : error.ee_type == 2
        return .icmp(
          ICMPReport(
            destination: destination, type: error.ee_type, code: error.ee_code, mtu: isTooBig ? error.ee_info : 0))
      }
      unsafe entry = clinux_cmsg_next(&message, header)
    }
    return .other
  }
}
