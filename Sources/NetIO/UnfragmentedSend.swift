internal import CLinux
public import NetworkTypes
public import System

/// Sends one datagram that no router may fragment (RFC 8656 sections 14 and 15, DONT-FRAGMENT).
public enum UnfragmentedSend {
  /// Sends with the DF bit set (IPv6: without a fragment header), independent of the kernel's path MTU, which the
  /// client wants to measure. Afterwards the socket sends as before.
  ///
  /// - Throws: `EMSGSIZE` if the datagram exceeds the first link's MTU, or another error of sending.
  public static func send(_ bytes: [UInt8], over descriptor: Int32, to peer: SocketAddress) throws(Errno) {
    let options: [(level: Int32, option: Int32, value: Int32)]
    switch peer.family {
    case .ipv4: options = [(Int32(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)]
    case .ipv6:
      options = [
        (Int32(IPPROTO_IPV6), IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE), (Int32(IPPROTO_IPV6), IPV6_DONTFRAG, 1),
      ]
    }
    let before = options.map { Sockets.get(descriptor, $0.level, $0.option) ?? 0 }
    for option in options { try Sockets.set(descriptor, option.level, option.option, option.value) }
    defer {
      for (option, value) in zip(options, before) {
        try? Sockets.set(descriptor, option.level, option.option, value)
      }
    }
    try sendOne(bytes, over: descriptor, to: peer)
  }

  private static func sendOne(_ bytes: [UInt8], over descriptor: Int32, to peer: SocketAddress) throws(Errno) {
    var name = sockaddr_storage()
    var payload = bytes
    let nameByteCount = unsafe peer.write(to: &name)
    try retrying {
      unsafe payload.withUnsafeMutableBytes { buffer in
        unsafe SingleMessage.with(buffer, &name, nameByteCount: nameByteCount) {
          Int32(truncatingIfNeeded: unsafe sendmsg(descriptor, &$0, Int32(MSG_DONTWAIT)))
        }
      }
    }
  }
}
