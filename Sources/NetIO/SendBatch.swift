internal import CLinux
public import NetworkTypes

/// Datagrams that wait to be sent, over any number of sockets; sent with as few system calls as their order allows.
///
/// The bytes stay where they are, in the slots of `PacketBuffers`: nothing in them may be overwritten before `flush`.
@safe
public struct SendBatch: ~Copyable {
  public let capacity: Int
  public private(set) var count = 0
  /// Datagrams that the kernel refused, by flush. One peer's error ends nothing but that datagram.
  public private(set) var failures: UInt64 = 0
  /// Datagrams dropped because the socket's buffer was full.
  public private(set) var overflows: UInt64 = 0

  // Owned alone and freed in deinit; all have `capacity` elements.
  private let headers: UnsafeMutablePointer<mmsghdr>
  private let vectors: UnsafeMutablePointer<iovec>
  private let names: UnsafeMutablePointer<sockaddr_storage>
  private let controls: UnsafeMutableRawPointer
  private let descriptors: UnsafeMutablePointer<Int32>

  static let controlByteCount = 64

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
    unsafe descriptors = .allocate(capacity: capacity)
    unsafe descriptors.initialize(repeating: -1, count: capacity)
  }

  deinit {
    unsafe headers.deallocate()
    unsafe vectors.deallocate()
    unsafe names.deallocate()
    unsafe controls.deallocate()
    unsafe descriptors.deallocate()
  }

  public var isFull: Bool { count == capacity }

  /// Adds a datagram that lies in a slot. The batch must not be full.
  ///
  /// - Parameter source: the address to send from, for sockets bound to every address; nil elsewhere.
  @inline(__always)
  public mutating func append(
    _ descriptor: Int32, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>, to peer: SocketAddress,
    from source: IPAddress?
  ) {
    precondition(count < capacity)
    precondition(range.lowerBound >= -PacketBuffers.headroom && range.upperBound <= PacketBuffers.capacity + 256)
    let index = count
    count += 1
    unsafe descriptors[index] = descriptor
    unsafe vectors[index].iov_base = buffers.start(of: slot) + range.lowerBound
    unsafe vectors[index].iov_len = range.count
    let header = unsafe headers + index
    unsafe header.pointee.msg_hdr.msg_iov = vectors + index
    unsafe header.pointee.msg_hdr.msg_iovlen = 1
    unsafe header.pointee.msg_hdr.msg_namelen = peer.write(to: names + index)
    unsafe header.pointee.msg_hdr.msg_name = UnsafeMutableRawPointer(names + index)
    unsafe header.pointee.msg_hdr.msg_flags = 0
    if let source {
      unsafe writeSource(source, header, controls + index * Self.controlByteCount)
    } else {
      unsafe header.pointee.msg_hdr.msg_control = nil
      unsafe header.pointee.msg_hdr.msg_controllen = 0
    }
  }

  @inline(__always)
  private func writeSource(
    _ source: IPAddress, _ header: UnsafeMutablePointer<mmsghdr>, _ control: UnsafeMutableRawPointer
  ) {
    unsafe header.pointee.msg_hdr.msg_control = control
    // Room for the entry that follows is what makes the first one found.
    unsafe header.pointee.msg_hdr.msg_controllen = Self.controlByteCount
    guard let entry = unsafe clinux_cmsg_first(&header.pointee.msg_hdr) else { return }
    switch source.family {
    case .ipv4:
      var info = in_pktinfo()
      info.ipi_spec_dst.s_addr = source.ipv4Bits.bigEndian
      unsafe entry.pointee.cmsg_level = Int32(IPPROTO_IP)
      unsafe entry.pointee.cmsg_type = IP_PKTINFO
      unsafe entry.pointee.cmsg_len = clinux_cmsg_len(MemoryLayout<in_pktinfo>.size)
      unsafe clinux_cmsg_data(entry).copyMemory(from: &info, byteCount: MemoryLayout<in_pktinfo>.size)
      unsafe header.pointee.msg_hdr.msg_controllen = clinux_cmsg_space(MemoryLayout<in_pktinfo>.size)
    case .ipv6:
      var info = in6_pktinfo()
      info.ipi6_addr = in6_addr(source)
      unsafe entry.pointee.cmsg_level = Int32(IPPROTO_IPV6)
      unsafe entry.pointee.cmsg_type = IPV6_PKTINFO
      unsafe entry.pointee.cmsg_len = clinux_cmsg_len(MemoryLayout<in6_pktinfo>.size)
      unsafe clinux_cmsg_data(entry).copyMemory(from: &info, byteCount: MemoryLayout<in6_pktinfo>.size)
      unsafe header.pointee.msg_hdr.msg_controllen = clinux_cmsg_space(MemoryLayout<in6_pktinfo>.size)
    }
  }

  /// Sends everything, in order for each socket.
  @inline(__always)
  public mutating func flush() {
    var start = 0
    while start < count {
      let descriptor = unsafe descriptors[start]
      var end = start + 1
      while end < count, unsafe descriptors[end] == descriptor { end += 1 }
      send(start..<end, over: descriptor)
      start = end
    }
    count = 0
  }

  /// Goes on behind a datagram that cannot be sent. An error may be an earlier one's that the kernel reports now
  /// without sending (an ICMP message from another peer): so each datagram gets a second try.
  private mutating func send(_ range: Range<Int>, over descriptor: Int32) {
    var next = range.lowerBound
    var isSecondTry = false
    while next < range.upperBound {
      let sent = unsafe sendmmsg(
        descriptor, headers + next, UInt32(range.upperBound - next), Int32(MSG_DONTWAIT))
      if sent > 0 {
        next += Int(sent)
        isSecondTry = false
        continue
      }
      let error = Errno.current
      if error == .interrupted { continue }
      if error == .wouldBlock || error == .noBuffers {
        overflows &+= 1
        next += 1
        isSecondTry = false
      } else if isSecondTry {
        failures &+= 1
        next += 1
        isSecondTry = false
      } else {
        isSecondTry = true
      }
    }
  }
}
