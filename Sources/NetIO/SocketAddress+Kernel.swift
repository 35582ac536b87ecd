internal import CLinux
internal import NetworkTypes

extension SocketAddress {
  /// Writes the address in the kernel's form and returns its length.
  @inline(__always)
  func write(to storage: UnsafeMutablePointer<sockaddr_storage>) -> UInt32 {
    switch address.family {
    case .ipv4:
      var kernel = sockaddr_in()
      kernel.sin_family = sa_family_t(AF_INET)
      kernel.sin_port = port.bigEndian
      kernel.sin_addr.s_addr = address.ipv4Bits.bigEndian
      unsafe UnsafeMutableRawPointer(storage).storeBytes(of: kernel, as: sockaddr_in.self)
      return UInt32(MemoryLayout<sockaddr_in>.size)
    case .ipv6:
      var kernel = sockaddr_in6()
      kernel.sin6_family = sa_family_t(AF_INET6)
      kernel.sin6_port = port.bigEndian
      kernel.sin6_addr = in6_addr(address)
      kernel.sin6_scope_id = scope
      unsafe UnsafeMutableRawPointer(storage).storeBytes(of: kernel, as: sockaddr_in6.self)
      return UInt32(MemoryLayout<sockaddr_in6>.size)
    }
  }

  /// Reads the kernel's form; nil for other families than IPv4 and IPv6.
  @inline(__always)
  init?(from storage: UnsafePointer<sockaddr_storage>) {
    let raw = unsafe UnsafeRawPointer(storage)
    switch Int32(unsafe storage.pointee.ss_family) {
    case AF_INET:
      let kernel = unsafe raw.load(as: sockaddr_in.self)
      self.init(IPAddress(ipv4: UInt32(bigEndian: kernel.sin_addr.s_addr)), port: UInt16(bigEndian: kernel.sin_port))
    case AF_INET6:
      let kernel = unsafe raw.load(as: sockaddr_in6.self)
      let address = IPAddress(kernel.sin6_addr)
      // A scope has a meaning for link-local addresses only.
      let isLinkLocal = address.high >> 54 == 0xFE80 >> 6
      self.init(address, port: UInt16(bigEndian: kernel.sin6_port), scope: isLinkLocal ? kernel.sin6_scope_id : 0)
    default:
      return nil
    }
  }

  /// Calls `body` with the kernel's form.
  func withKernelForm<Result>(_ body: (UnsafePointer<sockaddr>, UInt32) -> Result) -> Result {
    var storage = sockaddr_storage()
    let length = unsafe write(to: &storage)
    return unsafe withUnsafePointer(to: &storage) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
    }
  }
}

extension in6_addr {
  @inline(__always)
  init(_ address: IPAddress) {
    self.init()
    unsafe withUnsafeMutableBytes(of: &self) { bytes in
      unsafe bytes.storeBytes(of: address.high.bigEndian, toByteOffset: 0, as: UInt64.self)
      unsafe bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
  }
}

extension IPAddress {
  @inline(__always)
  init(_ kernel: in6_addr) {
    var kernel = kernel
    self = unsafe withUnsafeBytes(of: &kernel) { bytes in
      unsafe IPAddress(
        ipv6High: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
        low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
  }
}
