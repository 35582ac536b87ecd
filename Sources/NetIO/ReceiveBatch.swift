internal import CLinux
public import NetworkTypes
public import System

/// The results of `recvmmsg` for each datagram: its source, its length, the local address that it was sent to, and the
/// size of the datagrams that the kernel has merged (UDP_GRO). One entry for each slot of `PacketBuffers`.
@safe
public struct ReceiveBatch: ~Copyable {
  /// The number of entries, one for each slot.
  public let slotCount: Int
  // These four arrays are owned by this value alone and freed in deinit. `headers` and `vectors` have an element for
  // each slot, `names` and `controls` only for the slots before `firstProvided`. Every access is checked.
  private let headers: UnsafeMutablePointer<mmsghdr>
  private let vectors: UnsafeMutablePointer<iovec>
  private let names: UnsafeMutablePointer<sockaddr_storage>
  private let controls: UnsafeMutableRawPointer

  static let controlByteCount = 128

  /// The kernel writes this before each datagram in a provided buffer: a header, room for a name and room for control
  /// data, which fill the headroom.
  static let providedHeaderByteCount = MemoryLayout<io_uring_recvmsg_out>.size
  static let providedNameByteCount = 32
  static let providedControlByteCount = PacketBuffers.headroom - providedHeaderByteCount - providedNameByteCount

  /// Makes the entries of all slots. The buffers must live as long as the batch, so one owner has both.
  ///
  /// - Parameter firstProvided: from this slot on, io_uring writes names and control data into the slots' headroom.
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

  /// Receives up to `limit` datagrams into the slots from `firstSlot` on, in one system call, and returns their number;
  /// 0 if none waits.
  ///
  /// - Throws: the socket's error. An ICMP error of an earlier send is thrown once.
  @inline(__always)
  public mutating func receive(from descriptor: Int32, firstSlot: Int, limit: Int) throws(Errno) -> Int {
    let count = min(limit, slotCount - firstSlot)
    guard count > 0, firstSlot >= 0 else { return 0 }
    for slot in firstSlot..<(firstSlot + count) {
      // The kernel has overwritten these lengths.
      unsafe headers[slot].msg_hdr.msg_namelen = UInt32(MemoryLayout<sockaddr_storage>.size)
      unsafe headers[slot].msg_hdr.msg_controllen = Self.controlByteCount
    }
    let received = unsafe recvmmsg(descriptor, headers + firstSlot, UInt32(count), Int32(MSG_DONTWAIT), nil)
    if received >= 0 { return Int(received) }
    let error = Errno.current
    if error == .wouldBlock || error == .interrupted { return 0 }
    throw error
  }

  /// Reads the lengths that io_uring has written into a slot; false if they are impossible.
  @inline(__always)
  mutating func add(provided slot: Int, _ buffers: borrowing PacketBuffers) -> Bool {
    guard slot >= 0, slot < slotCount else { return false }
    let out = unsafe (buffers.start(of: slot) - PacketBuffers.headroom).load(as: io_uring_recvmsg_out.self)
    guard out.payloadlen <= PacketBuffers.capacity, out.namelen > 0 else { return false }
    unsafe headers[slot].msg_len = out.payloadlen
    unsafe headers[slot].msg_hdr.msg_controllen = min(Int(out.controllen), Self.providedControlByteCount)
    return true
  }

  /// The number of received bytes, of one datagram or of several merged ones.
  @inline(__always)
  public func byteCount(_ slot: Int) -> Int {
    precondition(slot >= 0 && slot < slotCount)
    return Int(unsafe headers[slot].msg_len)
  }

  /// The source; nil if the kernel gave none.
  @inline(__always)
  public func source(_ slot: Int) -> SocketAddress? {
    precondition(slot >= 0 && slot < slotCount)
    guard let name = unsafe headers[slot].msg_hdr.msg_name else { return nil }
    // Sound: every name has room for an IPv6 address, and nothing beyond it is read.
    return unsafe SocketAddress(from: UnsafePointer(name.assumingMemoryBound(to: sockaddr_storage.self)))
  }

  /// The control data of a datagram.
  public struct Ancillary: Sendable, BitwiseCopyable {
    /// The host's address to which the datagram was sent, on a socket that reports it.
    public var localAddress: IPAddress?
    /// The size of each merged datagram (the last may be shorter); 0: not merged.
    public var segmentByteCount = 0
    /// DSCP and ECN, on a socket that reports them (`TrafficClassWatch`); else 0.
    public var trafficClass: UInt8 = 0
  }

  /// Reads the control data of a datagram.
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

/// The kernel's batching of datagrams of one size, for sending and receiving (udp(7)).
public enum UDPOffload {
  static let level = Int32(IPPROTO_UDP)
  /// UDP_SEGMENT.
  static let send: Int32 = 103
  /// UDP_GRO.
  static let receive: Int32 = 104

  /// Whether the kernel cuts sent runs (UDP_SEGMENT) and merges received ones (UDP_GRO).
  public static func support() -> (sends: Bool, receives: Bool) {
    guard let probe = try? Sockets.open(.ipv4, SOCK_DGRAM) else { return (false, false) }
    return ((try? Sockets.set(probe.rawValue, level, send, 1200)) != nil, enableReceiving(probe.rawValue))
  }

  /// Lets the kernel merge received datagrams. The option must stay on until the socket closes: otherwise merged
  /// datagrams that are already queued would arrive without their size.
  ///
  /// - Returns: whether the kernel supports it.
  public static func enableReceiving(_ descriptor: Int32) -> Bool {
    (try? Sockets.set(descriptor, level, receive, 1)) != nil
  }
}
