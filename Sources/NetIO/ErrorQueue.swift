internal import CLinux
public import NetworkTypes

/// An ICMP message that something on the way sent back about a datagram of ours, or that the first link of it is too
/// narrow.
public struct ICMPReport: Equatable, Sendable {
  /// Where the datagram was going.
  public var destination: SocketAddress
  /// Type and code of the ICMP or ICMPv6 message, by the family of `destination`.
  public var type: UInt8
  public var code: UInt8
  /// The MTU of the next link, where the message is about one (fragmentation needed, packet too big); 0 otherwise.
  public var mtu: UInt32
}

/// The kernel's queue of ICMP messages for a UDP socket (IP_RECVERR). While anything is in it, the socket's events
/// say that it has failed: whoever waits for them must read it empty.
public enum ErrorQueue {
  /// Has the kernel keep ICMP messages for the socket from now on.
  public static func enable(on descriptor: Int32, _ family: IPAddress.Family) throws(Errno) {
    switch family {
    case .ipv4: try Sockets.set(descriptor, Int32(IPPROTO_IP), IP_RECVERR, 1)
    case .ipv6: try Sockets.set(descriptor, Int32(IPPROTO_IPV6), IPV6_RECVERR, 1)
    }
  }

  /// What came out of the queue.
  public enum Item: Equatable, Sendable {
    case icmp(ICMPReport)
    /// An error of the host itself, or one without a destination.
    case other
  }

  /// Takes the oldest item; nil once the queue is empty.
  public static func next(from descriptor: Int32) -> Item? {
    var name = sockaddr_storage()
    // Only the beginning of the datagram comes along; nobody needs it.
    var payload: UInt64 = 0
    return unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 16) { control in
      unsafe withUnsafeMutableBytes(of: &payload) { payload in
        unsafe SingleMessage.with(payload, &name) { message -> Item? in
          // Sound: the header's name is `name`, and both live until the end of this closure, as the control data do.
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
        // A datagram that must not be fragmented and does not fit the link it would leave by: what a router would say.
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
