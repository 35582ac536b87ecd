internal import CLinux
public import NetworkTypes
internal import System

/// The kernel's buffers of sockets.
public enum SocketBuffers {
  /// The buffer size that a listener requests.
  public static let wanted = ByteCount.mebibytes(4)

  /// The receive buffer size that this process gets when it requests `wanted`, by its capabilities and
  /// `net.core.rmem_max`.
  public static func obtainable() -> ByteCount {
    guard let probe = try? Sockets.open(.ipv4, SOCK_DGRAM) else { return wanted }
    Sockets.setBuffers(probe.rawValue, size: wanted)
    // The kernel reports twice the size, to include its overhead.
    return Sockets.get(probe.rawValue, SOL_SOCKET, SO_RCVBUF).map { .bytes(UInt64(clamping: $0 / 2)) } ?? wanted
  }

  /// The number of datagrams that the kernel has dropped because the socket's receive buffer was full, modulo 2³².
  ///
  /// The caller reads this number occasionally; SO_RXQ_OVFL would instead add control data to each datagram.
  public static func drops(of descriptor: Int32) -> UInt32 {
    // SO_MEMINFO (Linux 4.12) has nine words; the last one counts the drops.
    var words = InlineArray<9, UInt32>(repeating: 0)
    var length = socklen_t(MemoryLayout<InlineArray<9, UInt32>>.size)
    guard unsafe getsockopt(descriptor, SOL_SOCKET, 55, &words, &length) == 0 else { return 0 }
    return words[8]
  }
}
