internal import CLinux
public import System

/// Reports possible changes of the host's addresses (rtnetlink(7)): an added or removed address, or an interface that
/// went up or down. It belongs to one thread, which waits until `rawValue` is readable and then reads `Interfaces`.
public struct AddressWatch: ~Copyable {
  private let descriptor: FileDescriptor

  /// The descriptor, which is readable after a possible change.
  public var rawValue: Int32 { descriptor.rawValue }

  /// - Throws: if the kernel or a sandbox refuses such a socket.
  public init() throws(Errno) {
    let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = FileDescriptor(owning: try retrying { socket(AF_NETLINK, kind, Int32(NETLINK_ROUTE)) })
    var name = sockaddr_nl()
    name.nl_family = sa_family_t(AF_NETLINK)
    // RTMGRP_LINK is needed too, because an interface that goes up may have addresses that were added before.
    name.nl_groups = UInt32(RTMGRP_LINK) | UInt32(RTMGRP_IPV4_IFADDR) | UInt32(RTMGRP_IPV6_IFADDR)
    let raw = descriptor.rawValue
    let status = unsafe withUnsafePointer(to: &name) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        unsafe clinux_bind(raw, name, socklen_t(MemoryLayout<sockaddr_nl>.size))
      }
    }
    guard status == 0 else { throw .current }
    self.descriptor = descriptor
  }

  /// Discards the messages so far. Their content is not read, because some are lost when many arrive at once; the
  /// caller reads the addresses instead.
  ///
  /// - Returns: whether there was a message.
  public func drain() -> Bool {
    var hasTold = false
    unsafe withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 8) { buffer in
      while true {
        let count = unsafe read(descriptor.rawValue, buffer.baseAddress, buffer.count)
        // ENOBUFS reports lost messages; further messages may follow.
        guard count > 0 || (count < 0 && Errno.current == .noBuffers) else { return }
        hasTold = true
      }
    }
    return hasTold
  }
}
