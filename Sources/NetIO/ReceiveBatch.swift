internal import CLinux
public import NetworkTypes

/// Where `recvmmsg` puts what it tells about each datagram: names, lengths, and the local address it was sent to.
/// Made once, used for every batch.
@safe
public struct ReceiveBatch: ~Copyable {
  public let capacity: Int
  // Owned alone and freed in deinit; all have `capacity` elements, and every access is checked against that.
  private let headers: UnsafeMutablePointer<mmsghdr>
  private let vectors: UnsafeMutablePointer<iovec>
  private let names: UnsafeMutablePointer<sockaddr_storage>
  private let controls: UnsafeMutableRawPointer

  static let controlByteCount = 128

  public init(capacity: Int) {
    self.capacity = capacity
    unsafe headers = .allocate(capacity: capacity)
    unsafe headers.initialize(repeating: mmsghdr(), count: capacity)
    unsafe vectors = .allocate(capacity: capacity)
    unsafe vectors.initialize(repeating: iovec(), count: capacity)
    unsafe names = .allocate(capacity: capacity)
    unsafe names.initialize(repeating: sockaddr_storage(), count: capacity)
    unsafe controls = .allocate(byteCount: capacity * Self.controlByteCount, alignment: 16)
    unsafe controls.initializeMemory(as: UInt8.self, repeating: 0, count: capacity * Self.controlByteCount)
  }

  deinit {
    unsafe headers.deallocate()
    unsafe vectors.deallocate()
    unsafe names.deallocate()
    unsafe controls.deallocate()
  }

  /// Receives up to `limit` datagrams into the slots from `firstSlot` on, in one system call. Zero where none waits.
  ///
  /// - Parameter wantsLocalAddress: whether the socket reports the address a datagram was sent to (IP_PKTINFO).
  /// - Throws: what the socket reports. An ICMP error of an earlier send is thrown once and then gone.
  @inline(__always)
  public mutating func receive(
    from descriptor: Int32, into buffers: borrowing PacketBuffers, firstSlot: Int, limit: Int, wantsLocalAddress: Bool
  ) throws(Errno) -> Int {
    let count = min(limit, capacity, buffers.slotCount - firstSlot)
    guard count > 0 else { return 0 }
    for index in 0..<count {
      unsafe vectors[index].iov_base = buffers.start(of: firstSlot + index)
      unsafe vectors[index].iov_len = PacketBuffers.capacity
      unsafe headers[index].msg_hdr.msg_iov = vectors + index
      unsafe headers[index].msg_hdr.msg_iovlen = 1
      unsafe headers[index].msg_hdr.msg_name = UnsafeMutableRawPointer(names + index)
      unsafe headers[index].msg_hdr.msg_namelen = UInt32(MemoryLayout<sockaddr_storage>.size)
      unsafe headers[index].msg_hdr.msg_control = wantsLocalAddress ? controls + index * Self.controlByteCount : nil
      unsafe headers[index].msg_hdr.msg_controllen = wantsLocalAddress ? Self.controlByteCount : 0
      unsafe headers[index].msg_hdr.msg_flags = 0
    }
    let received = unsafe recvmmsg(descriptor, headers, UInt32(count), Int32(MSG_DONTWAIT), nil)
    if received >= 0 { return Int(received) }
    let error = Errno.current
    if error == .wouldBlock || error == .interrupted { return 0 }
    throw error
  }

  /// How many bytes the datagram has.
  @inline(__always)
  public func byteCount(_ index: Int) -> Int {
    precondition(index >= 0 && index < capacity)
    return Int(unsafe headers[index].msg_len)
  }

  /// Who sent it; nil where the kernel named none.
  @inline(__always)
  public func source(_ index: Int) -> SocketAddress? {
    precondition(index >= 0 && index < capacity)
    return unsafe SocketAddress(from: names + index)
  }

  /// Which of the host's addresses it was sent to, on a socket that reports that.
  @inline(__always)
  public func localAddress(_ index: Int) -> IPAddress? {
    precondition(index >= 0 && index < capacity)
    let header = unsafe headers + index
    var control = unsafe clinux_cmsg_first(&header.pointee.msg_hdr)
    while let entry = unsafe control {
      if unsafe entry.pointee.cmsg_level == Int32(IPPROTO_IP), unsafe entry.pointee.cmsg_type == IP_PKTINFO {
        let info = unsafe clinux_cmsg_data(entry).loadUnaligned(as: in_pktinfo.self)
        return IPAddress(ipv4: UInt32(bigEndian: info.ipi_addr.s_addr))
      }
      if unsafe entry.pointee.cmsg_level == Int32(IPPROTO_IPV6),
        unsafe entry.pointee.cmsg_type == IPV6_PKTINFO
      {
        let info = unsafe clinux_cmsg_data(entry).loadUnaligned(as: in6_pktinfo.self)
        return IPAddress(info.ipi6_addr)
      }
      unsafe control = clinux_cmsg_next(&header.pointee.msg_hdr, entry)
    }
    return nil
  }
}
