internal import CLinux
public import NetworkTypes

/// Where `recvmmsg` puts what it tells about each datagram: names, lengths, the local address it was sent to, and how
/// a run that the kernel has merged (UDP_GRO) is to be cut. One entry for each slot of `PacketBuffers`, bound to it
/// once and for all.
@safe
public struct ReceiveBatch: ~Copyable {
  public let slotCount: Int
  // Owned alone and freed in deinit; all have `slotCount` elements, and every access is checked against that.
  private let headers: UnsafeMutablePointer<mmsghdr>
  private let vectors: UnsafeMutablePointer<iovec>
  private let names: UnsafeMutablePointer<sockaddr_storage>
  private let controls: UnsafeMutableRawPointer

  static let controlByteCount = 128

  /// What the kernel writes in front of each datagram that it receives into a provided buffer: a header, room for a
  /// name, room for control data; together the headroom.
  static let providedHeaderByteCount = MemoryLayout<io_uring_recvmsg_out>.size
  static let providedNameByteCount = 32
  static let providedControlByteCount = PacketBuffers.headroom - providedHeaderByteCount - providedNameByteCount

  /// The buffers must live as long as the batch: whoever owns both owns them together.
  ///
  /// - Parameter firstProvided: from this slot on, names and control data lie in the slots' own headroom, where
  ///   io_uring puts them.
  public init(for buffers: borrowing PacketBuffers, firstProvided: Int = .max) {
    slotCount = buffers.slotCount
    unsafe headers = .allocate(capacity: slotCount)
    unsafe headers.initialize(repeating: mmsghdr(), count: slotCount)
    unsafe vectors = .allocate(capacity: slotCount)
    unsafe vectors.initialize(repeating: iovec(), count: slotCount)
    let own = min(firstProvided, slotCount)
    unsafe names = .allocate(capacity: own)
    unsafe names.initialize(repeating: sockaddr_storage(), count: own)
    unsafe controls = .allocate(byteCount: own * Self.controlByteCount, alignment: 16)
    unsafe controls.initializeMemory(as: UInt8.self, repeating: 0, count: own * Self.controlByteCount)
    for slot in 0..<slotCount {
      unsafe vectors[slot].iov_base = buffers.start(of: slot)
      unsafe vectors[slot].iov_len = PacketBuffers.capacity
      unsafe headers[slot].msg_hdr.msg_iov = vectors + slot
      unsafe headers[slot].msg_hdr.msg_iovlen = 1
      if slot < firstProvided {
        unsafe headers[slot].msg_hdr.msg_name = UnsafeMutableRawPointer(names + slot)
        unsafe headers[slot].msg_hdr.msg_control = controls + slot * Self.controlByteCount
      } else {
        let name = unsafe buffers.start(of: slot) - PacketBuffers.headroom + Self.providedHeaderByteCount
        unsafe headers[slot].msg_hdr.msg_name = name
        unsafe headers[slot].msg_hdr.msg_control = name + Self.providedNameByteCount
      }
    }
  }

  deinit {
    unsafe headers.deallocate()
    unsafe vectors.deallocate()
    unsafe names.deallocate()
    unsafe controls.deallocate()
  }

  /// Receives up to `limit` datagrams into the slots from `firstSlot` on, in one system call, and returns how many.
  /// Zero where none waits.
  ///
  /// - Throws: what the socket reports. An ICMP error of an earlier send is thrown once and then gone.
  @inline(__always)
  public mutating func receive(from descriptor: Int32, firstSlot: Int, limit: Int) throws(Errno) -> Int {
    let count = min(limit, slotCount - firstSlot)
    guard count > 0, firstSlot >= 0 else { return 0 }
    for slot in firstSlot..<(firstSlot + count) {
      // The kernel has written over these.
      unsafe headers[slot].msg_hdr.msg_namelen = UInt32(MemoryLayout<sockaddr_storage>.size)
      unsafe headers[slot].msg_hdr.msg_controllen = Self.controlByteCount
    }
    let received = unsafe recvmmsg(descriptor, headers + firstSlot, UInt32(count), Int32(MSG_DONTWAIT), nil)
    if received >= 0 { return Int(received) }
    let error = Errno.current
    if error == .wouldBlock || error == .interrupted { return 0 }
    throw error
  }

  /// Notes what io_uring has received into a slot; false where that cannot be.
  @inline(__always)
  mutating func note(provided slot: Int, _ buffers: borrowing PacketBuffers) -> Bool {
    guard slot >= 0, slot < slotCount else { return false }
    let out = unsafe (buffers.start(of: slot) - PacketBuffers.headroom).load(as: io_uring_recvmsg_out.self)
    guard out.payloadlen <= PacketBuffers.capacity, out.namelen > 0 else { return false }
    unsafe headers[slot].msg_len = out.payloadlen
    unsafe headers[slot].msg_hdr.msg_controllen = min(Int(out.controllen), Self.providedControlByteCount)
    return true
  }

  /// How many bytes were received: of one datagram, or of several that were merged.
  @inline(__always)
  public func byteCount(_ slot: Int) -> Int {
    precondition(slot >= 0 && slot < slotCount)
    return Int(unsafe headers[slot].msg_len)
  }

  /// Who sent it; nil where the kernel named none.
  @inline(__always)
  public func source(_ slot: Int) -> SocketAddress? {
    precondition(slot >= 0 && slot < slotCount)
    guard let name = unsafe headers[slot].msg_hdr.msg_name else { return nil }
    // Sound: every name has room for an IPv6 address, and nothing behind that is read.
    return unsafe SocketAddress(from: UnsafePointer(name.assumingMemoryBound(to: sockaddr_storage.self)))
  }

  /// What came beside a datagram.
  public struct Ancillary: Sendable, BitwiseCopyable {
    /// Which of the host's addresses it was sent to, on a socket that reports that.
    public var localAddress: IPAddress?
    /// Size of each of the datagrams that were merged into one, the last of which may be shorter; 0: not merged.
    public var segmentByteCount = 0
    /// DSCP and ECN, on a socket that reports them (`TrafficClassWatch`); else 0.
    public var trafficClass: UInt8 = 0
  }

  @inline(__always)
  public func ancillary(_ slot: Int) -> Ancillary {
    precondition(slot >= 0 && slot < slotCount)
    var result = Ancillary()
    let header = unsafe headers + slot
    guard unsafe header.pointee.msg_hdr.msg_controllen > 0 else { return result }
    var control = unsafe clinux_cmsg_first(&header.pointee.msg_hdr)
    while let entry = unsafe control {
      let level = unsafe entry.pointee.cmsg_level
      let type = unsafe entry.pointee.cmsg_type
      let data = unsafe clinux_cmsg_data(entry)
      if level == Int32(IPPROTO_IP), type == IP_PKTINFO {
        let info = unsafe data.loadUnaligned(as: in_pktinfo.self)
        result.localAddress = IPAddress(ipv4: UInt32(bigEndian: info.ipi_addr.s_addr))
      } else if level == Int32(IPPROTO_IPV6), type == IPV6_PKTINFO {
        result.localAddress = IPAddress(unsafe data.loadUnaligned(as: in6_pktinfo.self).ipi6_addr)
      } else if level == UDPOffload.level, type == UDPOffload.receive {
        result.segmentByteCount = Int(unsafe data.loadUnaligned(as: Int32.self))
      } else if level == Int32(IPPROTO_IP), type == IP_TOS {
        result.trafficClass = unsafe data.load(as: UInt8.self)
      } else if level == Int32(IPPROTO_IPV6), type == IPV6_TCLASS {
        result.trafficClass = UInt8(truncatingIfNeeded: unsafe data.loadUnaligned(as: Int32.self))
      }
      unsafe control = clinux_cmsg_next(&header.pointee.msg_hdr, entry)
    }
    return result
  }
}

/// The kernel's merging of datagrams of one size into one piece of work, in both directions (udp(7)).
public enum UDPOffload {
  static let level = Int32(IPPROTO_UDP)
  /// UDP_SEGMENT.
  static let send: Int32 = 103
  /// UDP_GRO.
  static let receive: Int32 = 104

  /// Lets the kernel merge what a socket receives. To be left on until the socket closes: switched off, runs that are
  /// queued already would arrive as one blob without their size.
  ///
  /// - Returns: whether this kernel can.
  public static func enableReceiving(_ descriptor: Int32) -> Bool {
    (try? Sockets.set(descriptor, level, receive, 1)) != nil
  }
}
