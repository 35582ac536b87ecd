internal import CLinux
public import NetworkTypes

/// Datagrams that wait to be sent, over any number of sockets; sent with as little work of the kernel's as their
/// order allows: runs of one size to one destination leave as one message that the kernel cuts (UDP_SEGMENT), and
/// messages of one socket in one system call.
///
/// Payloads stay where they are, in the slots of `PacketBuffers`: nothing in them may be overwritten before `flush`.
/// Order is kept for each destination.
@safe
public struct SendBatch: ~Copyable {
  public let capacity: Int
  public private(set) var count = 0
  /// Datagrams that the kernel refused. One peer's error ends nothing but that datagram.
  public private(set) var failures: UInt64 = 0
  /// Datagrams dropped because the socket's buffer was full.
  public private(set) var overflows: UInt64 = 0
  /// Messages that the kernel would not cut; their routes are sent to one by one from then on.
  public private(set) var refusedRuns: UInt64 = 0

  /// One datagram.
  private struct Entry: BitwiseCopyable {
    var route: UInt64
    var descriptor: Int32
    /// Prefix, payload and padding together.
    var byteCount: Int32
    var payloadByteCount: Int32
    var prefixByteCount: UInt8
    var paddingByteCount: UInt8
    var nameByteCount: UInt8
    var hasSource: Bool
    /// The next datagram of the same route, -1 for the last.
    var next: Int32
    var source: IPAddress
  }

  // Owned alone and freed in deinit. Entries, names, prefixes, payloads: `capacity` elements; headers and controls:
  // one for each message, of which there are at most as many; vectors: three for each entry.
  private let entries: UnsafeMutablePointer<Entry>
  private let payloads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private let names: UnsafeMutableRawPointer
  private let prefixes: UnsafeMutableRawPointer
  private let zeros: UnsafeMutableRawPointer
  private let headers: UnsafeMutablePointer<mmsghdr>
  private let messages: UnsafeMutablePointer<(first: Int32, count: Int32)>
  private let vectors: UnsafeMutablePointer<iovec>
  private let controls: UnsafeMutableRawPointer
  /// First and last entry of each route of the batch, found by hash; `stamp` tells which flush a place is of.
  private let routes: UnsafeMutablePointer<(route: UInt64, stamp: UInt64, first: Int32, last: Int32)>
  private let order: UnsafeMutablePointer<Int32>
  private var routeCount = 0
  private var stamp: UInt64 = 1
  private let routeMask: Int
  /// Routes whose runs the kernel refused; a small ring.
  private var unsegmented: [UInt64] = []
  private var nextUnsegmented = 0

  static let nameStride = 32
  static let prefixStride = 64
  static let controlStride = 96

  private let mergesRuns: Bool

  /// - Parameter mergesRuns: whether runs of one size to one destination leave as one message (UDP_SEGMENT). A load
  ///   generator, which has to send as ordinary clients do, says no.
  public init(capacity: Int, mergesRuns: Bool = true) {
    self.capacity = capacity
    self.mergesRuns = mergesRuns
    var places = 64
    while places < capacity * 2 { places *= 2 }
    routeMask = places - 1
    unsafe entries = .allocate(capacity: capacity)
    unsafe payloads = .allocate(capacity: capacity)
    unsafe payloads.initialize(repeating: nil, count: capacity)
    unsafe names = .allocate(byteCount: capacity * Self.nameStride, alignment: 16)
    unsafe prefixes = .allocate(byteCount: capacity * Self.prefixStride, alignment: 16)
    unsafe zeros = .allocate(byteCount: 8, alignment: 8)
    unsafe zeros.initializeMemory(as: UInt8.self, repeating: 0, count: 8)
    unsafe headers = .allocate(capacity: capacity)
    unsafe headers.initialize(repeating: mmsghdr(), count: capacity)
    unsafe messages = .allocate(capacity: capacity)
    unsafe vectors = .allocate(capacity: capacity * 3)
    unsafe vectors.initialize(repeating: iovec(), count: capacity * 3)
    unsafe controls = .allocate(byteCount: capacity * Self.controlStride, alignment: 16)
    unsafe controls.initializeMemory(as: UInt8.self, repeating: 0, count: capacity * Self.controlStride)
    unsafe routes = .allocate(capacity: places)
    unsafe routes.initialize(repeating: (0, 0, -1, -1), count: places)
    unsafe order = .allocate(capacity: capacity)
  }

  deinit {
    unsafe entries.deallocate()
    unsafe payloads.deallocate()
    unsafe names.deallocate()
    unsafe prefixes.deallocate()
    unsafe zeros.deallocate()
    unsafe headers.deallocate()
    unsafe messages.deallocate()
    unsafe vectors.deallocate()
    unsafe controls.deallocate()
    unsafe routes.deallocate()
    unsafe order.deallocate()
  }

  public var isFull: Bool { count == capacity }

  // MARK: - Adding

  /// Adds a datagram that lies in a slot, whole. The batch must not be full.
  ///
  /// - Parameter source: the address to send from, for sockets bound to every address; nil elsewhere.
  @inline(__always)
  public mutating func append(
    _ descriptor: Int32, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>, to peer: SocketAddress,
    from source: IPAddress?
  ) {
    add(descriptor, buffers, slot: slot, range: range, prefixByteCount: 0, padding: 0, to: peer, from: source)
  }

  /// Adds a datagram of three pieces: a prefix of up to 64 bytes, which is copied, a part of a slot, and up to three
  /// zero bytes. For a part of a merged run, around which nothing can be written.
  @inline(__always)
  public mutating func append(
    _ descriptor: Int32, prefix: RawSpan, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>,
    padding: Int, to peer: SocketAddress, from source: IPAddress?
  ) {
    precondition(prefix.byteCount <= Self.prefixStride && padding >= 0 && padding <= 8)
    let target = unsafe prefixes + count * Self.prefixStride
    unsafe prefix.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { unsafe target.copyMemory(from: base, byteCount: bytes.count) }
    }
    add(
      descriptor, buffers, slot: slot, range: range, prefixByteCount: prefix.byteCount, padding: padding, to: peer,
      from: source)
  }

  @inline(__always)
  private mutating func add(
    _ descriptor: Int32, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>, prefixByteCount: Int,
    padding: Int, to peer: SocketAddress, from source: IPAddress?
  ) {
    precondition(count < capacity)
    precondition(range.lowerBound >= -PacketBuffers.headroom && range.upperBound <= PacketBuffers.capacity + 256)
    let index = count
    count += 1
    let nameByteCount = unsafe peer.write(
      to: (names + index * Self.nameStride).assumingMemoryBound(to: sockaddr_storage.self))
    let route = Self.route(descriptor, peer, source)
    unsafe payloads[index] = buffers.start(of: slot) + range.lowerBound
    unsafe entries[index] = Entry(
      route: route, descriptor: descriptor, byteCount: Int32(truncatingIfNeeded: prefixByteCount + range.count + padding),
      payloadByteCount: Int32(truncatingIfNeeded: range.count), prefixByteCount: UInt8(truncatingIfNeeded: prefixByteCount),
      paddingByteCount: UInt8(truncatingIfNeeded: padding), nameByteCount: UInt8(truncatingIfNeeded: nameByteCount),
      hasSource: source != nil, next: -1, source: source ?? .ipv4Any)
    chain(index, route)
  }

  /// All that must be the same for datagrams to leave as one message, in one word. Two routes of one word would only
  /// be compared once more in `canFollow`.
  @inline(__always)
  private static func route(_ descriptor: Int32, _ peer: SocketAddress, _ source: IPAddress?) -> UInt64 {
    var mixed = (peer.address.low ^ 0x9E37_79B9_7F4A_7C15) &+ peer.address.high &* 0xC2B2_AE3D_27D4_EB4F
    mixed ^= UInt64(peer.port) << 32 | UInt64(UInt32(bitPattern: descriptor))
    if let source { mixed = mixed &* 31 ^ source.low ^ source.high }
    let product = mixed.multipliedFullWidth(by: 0x9FB2_1C65_1E98_DF25)
    return product.high ^ product.low
  }

  /// Hangs an entry behind the others of its route.
  @inline(__always)
  private mutating func chain(_ index: Int, _ route: UInt64) {
    var place = Int(truncatingIfNeeded: route) & routeMask
    while true {
      let found = unsafe routes[place]
      if found.stamp != stamp {
        unsafe routes[place] = (route, stamp, Int32(truncatingIfNeeded: index), Int32(truncatingIfNeeded: index))
        unsafe order[routeCount] = Int32(truncatingIfNeeded: place)
        routeCount += 1
        return
      }
      if found.route == route, isSameRoute(Int(found.last), index) {
        unsafe entries[Int(found.last)].next = Int32(truncatingIfNeeded: index)
        unsafe routes[place].last = Int32(truncatingIfNeeded: index)
        return
      }
      place = (place &+ 1) & routeMask
    }
  }

  /// Hashes may collide: the fields decide.
  @inline(__always)
  private func isSameRoute(_ a: Int, _ b: Int) -> Bool {
    let first = unsafe entries[a]
    let second = unsafe entries[b]
    guard first.descriptor == second.descriptor, first.nameByteCount == second.nameByteCount,
      first.hasSource == second.hasSource, first.source == second.source
    else { return false }
    return unsafe memcmp(names + a * Self.nameStride, names + b * Self.nameStride, Int(first.nameByteCount)) == 0
  }

  // MARK: - Sending

  /// Sends everything.
  @inline(__always)
  public mutating func flush() {
    guard count > 0 else { return }
    sendAll()
    count = 0
    routeCount = 0
    stamp &+= 1
  }

  private mutating func sendAll() {
    var messageCount = 0
    var vectorCount = 0
    var firstOfDescriptor = 0
    var descriptor: Int32 = -1
    for position in 0..<routeCount {
      let route = unsafe routes[Int(order[position])]
      let first = unsafe entries[Int(route.first)]
      if first.descriptor != descriptor, descriptor >= 0 {
        send(firstOfDescriptor..<messageCount, over: descriptor)
        firstOfDescriptor = messageCount
      }
      descriptor = first.descriptor
      let mayMerge = mergesRuns && first.next >= 0 && !unsegmented.contains(first.route)
      var index = route.first
      while index >= 0 {
        let run = runLength(from: index, mayMerge: mayMerge)
        index = build(messageCount, from: index, run: run, &vectorCount)
        messageCount += 1
      }
    }
    if messageCount > firstOfDescriptor { send(firstOfDescriptor..<messageCount, over: descriptor) }
  }

  /// How many datagrams from here on make one message: all of one size, but the last may be shorter; at most 64, and
  /// no more bytes than a datagram can have.
  private func runLength(from index: Int32, mayMerge: Bool) -> Int {
    let size = unsafe entries[Int(index)].byteCount
    guard mayMerge, size > 0 else { return 1 }
    var run = 1
    var total = Int(size)
    var next = unsafe entries[Int(index)].next
    while next >= 0, run < 64 {
      let following = unsafe entries[Int(next)]
      guard following.byteCount <= size, following.byteCount > 0, total + Int(following.byteCount) <= 65_000 else { break }
      run += 1
      total += Int(following.byteCount)
      if following.byteCount < size { break }
      next = following.next
    }
    return run
  }

  /// Fills a message's header from a run of entries and returns the entry behind it.
  private mutating func build(_ message: Int, from first: Int32, run: Int, _ vectorCount: inout Int) -> Int32 {
    let entry = unsafe entries[Int(first)]
    let header = unsafe headers + message
    unsafe header.pointee.msg_hdr.msg_name = names + Int(first) * Self.nameStride
    unsafe header.pointee.msg_hdr.msg_namelen = UInt32(entry.nameByteCount)
    unsafe header.pointee.msg_hdr.msg_iov = vectors + vectorCount
    unsafe header.pointee.msg_hdr.msg_flags = 0
    unsafe messages[message] = (first, Int32(truncatingIfNeeded: run))
    let firstVector = vectorCount
    var index = first
    for _ in 0..<run {
      let part = unsafe entries[Int(index)]
      if part.prefixByteCount > 0 {
        unsafe vectors[vectorCount] = iovec(
          iov_base: prefixes + Int(index) * Self.prefixStride, iov_len: Int(part.prefixByteCount))
        vectorCount += 1
      }
      unsafe vectors[vectorCount] = iovec(iov_base: payloads[Int(index)], iov_len: Int(part.payloadByteCount))
      vectorCount += 1
      if part.paddingByteCount > 0 {
        unsafe vectors[vectorCount] = iovec(iov_base: zeros, iov_len: Int(part.paddingByteCount))
        vectorCount += 1
      }
      index = part.next
    }
    unsafe header.pointee.msg_hdr.msg_iovlen = vectorCount - firstVector
    unsafe writeControl(header, message, source: entry.hasSource ? entry.source : nil, segment: run > 1 ? entry.byteCount : 0)
    return index
  }

  /// The address to send from and the size to cut to, where they are wanted.
  private func writeControl(
    _ header: UnsafeMutablePointer<mmsghdr>, _ message: Int, source: IPAddress?, segment: Int32
  ) {
    guard source != nil || segment > 0 else {
      unsafe header.pointee.msg_hdr.msg_control = nil
      unsafe header.pointee.msg_hdr.msg_controllen = 0
      return
    }
    let control = unsafe controls + message * Self.controlStride
    unsafe header.pointee.msg_hdr.msg_control = control
    var offset = 0
    switch source?.family {
    case .ipv4:
      var info = in_pktinfo()
      info.ipi_spec_dst.s_addr = (source?.ipv4Bits ?? 0).bigEndian
      unsafe write(&info, MemoryLayout<in_pktinfo>.size, level: Int32(IPPROTO_IP), type: IP_PKTINFO, to: control, &offset)
    case .ipv6:
      var info = in6_pktinfo()
      info.ipi6_addr = in6_addr(source ?? .ipv6Any)
      unsafe write(
        &info, MemoryLayout<in6_pktinfo>.size, level: Int32(IPPROTO_IPV6), type: IPV6_PKTINFO, to: control, &offset)
    case nil: break
    }
    if segment > 0 {
      var size = UInt16(truncatingIfNeeded: segment)
      unsafe write(&size, 2, level: UDPOffload.level, type: UDPOffload.send, to: control, &offset)
    }
    unsafe header.pointee.msg_hdr.msg_controllen = offset
  }

  private func write(
    _ value: UnsafeRawPointer, _ byteCount: Int, level: Int32, type: Int32, to control: UnsafeMutableRawPointer,
    _ offset: inout Int
  ) {
    let entry = unsafe (control + offset).assumingMemoryBound(to: cmsghdr.self)
    unsafe entry.pointee.cmsg_level = level
    unsafe entry.pointee.cmsg_type = type
    unsafe entry.pointee.cmsg_len = clinux_cmsg_len(byteCount)
    unsafe clinux_cmsg_data(entry).copyMemory(from: value, byteCount: byteCount)
    offset += clinux_cmsg_space(byteCount)
  }

  /// Goes on behind a message that cannot be sent. An error may be an earlier one's that the kernel reports now
  /// without sending (an ICMP message from another peer): so each message gets a second try.
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
      let run = unsafe messages[next]
      if error == .wouldBlock || error == .noBuffers {
        // The socket's buffer is full: what was to follow over this socket finds no room either.
        for message in next..<range.upperBound { overflows &+= UInt64(unsafe messages[message].count) }
        return
      } else if !isSecondTry {
        isSecondTry = true
        continue
      } else if run.count > 1 {
        sendOneByOne(run.first, Int(run.count))
      } else {
        failures &+= 1
      }
      next += 1
      isSecondTry = false
    }
  }

  /// A run that the kernel does not cut (a path it cannot do that for, a size above the path's): each on its own, and
  /// the route is remembered.
  private mutating func sendOneByOne(_ first: Int32, _ run: Int) {
    refusedRuns &+= 1
    let route = unsafe entries[Int(first)].route
    if unsegmented.count < 64 {
      unsegmented.append(route)
    } else {
      unsegmented[nextUnsegmented] = route
      nextUnsegmented = (nextUnsegmented + 1) % 64
    }
    var index = first
    for _ in 0..<run {
      let entry = unsafe entries[Int(index)]
      sendAlone(Int(index), entry)
      index = entry.next
    }
  }

  private mutating func sendAlone(_ index: Int, _ entry: Entry) {
    // Headers and vectors of the batch are in use: these are on the stack.
    unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: 3) { parts in
      unsafe parts[0] = iovec(iov_base: prefixes + index * Self.prefixStride, iov_len: Int(entry.prefixByteCount))
      unsafe parts[1] = iovec(iov_base: payloads[index], iov_len: Int(entry.payloadByteCount))
      unsafe parts[2] = iovec(iov_base: zeros, iov_len: Int(entry.paddingByteCount))
      unsafe withUnsafeTemporaryAllocation(byteCount: Self.controlStride, alignment: 16) { control in
        var header = unsafe mmsghdr()
        unsafe header.msg_hdr.msg_name = names + index * Self.nameStride
        unsafe header.msg_hdr.msg_namelen = UInt32(entry.nameByteCount)
        unsafe header.msg_hdr.msg_iov = parts.baseAddress
        unsafe header.msg_hdr.msg_iovlen = 3
        if entry.hasSource, let base = control.baseAddress {
          var offset = 0
          unsafe header.msg_hdr.msg_control = base
          if entry.source.family == .ipv4 {
            var info = in_pktinfo()
            info.ipi_spec_dst.s_addr = entry.source.ipv4Bits.bigEndian
            unsafe write(&info, MemoryLayout<in_pktinfo>.size, level: Int32(IPPROTO_IP), type: IP_PKTINFO, to: base, &offset)
          } else {
            var info = in6_pktinfo()
            info.ipi6_addr = in6_addr(entry.source)
            unsafe write(
              &info, MemoryLayout<in6_pktinfo>.size, level: Int32(IPPROTO_IPV6), type: IPV6_PKTINFO, to: base, &offset)
          }
          unsafe header.msg_hdr.msg_controllen = offset
        }
        if unsafe sendmmsg(entry.descriptor, &header, 1, Int32(MSG_DONTWAIT)) != 1 { failures &+= 1 }
      }
    }
  }
}
