internal import CLinux
internal import NetworkTypes
internal import System

extension SendBatch {
  /// Sends everything.
  @inline(__always)
  public mutating func flush() {
    guard count > 0 else { return }
    sendAll()
    clear()
  }

  /// Builds messages from the waiting datagrams, grouped by route, and returns their number.
  mutating func build() -> Int {
    var messageCount = 0
    var vectorCount = 0
    for position in 0..<routeCount {
      let route = unsafe routes[Int(order[position])]
      let first = unsafe entries[Int(route.first)]
      let mayMerge = mergesRuns && first.next >= 0 && !unsegmented.contains(first.route)
      var index = route.first
      while index >= 0 {
        let run = runLength(from: index, mayMerge: mayMerge)
        index = build(messageCount, from: index, run: run, &vectorCount)
        messageCount += 1
      }
    }
    return messageCount
  }

  @inline(__always)
  func descriptor(ofMessage message: Int) -> Int32 { unsafe entries[Int(messages[message].first)].descriptor }

  /// Empties the batch after everything has been sent.
  @inline(__always)
  mutating func clear() {
    count = 0
    routeCount = 0
    stamp &+= 1
  }

  private mutating func sendAll() {
    let count = build()
    var first = 0
    while first < count {
      let descriptor = descriptor(ofMessage: first)
      var end = first + 1
      while end < count, self.descriptor(ofMessage: end) == descriptor { end += 1 }
      send(first..<end, over: descriptor)
      first = end
    }
  }

  /// The number of datagrams from here on that form one message: all of one traffic class and size, except that the
  /// last may be shorter; at most 64, and within a datagram's maximum length.
  private func runLength(from index: Int32, mayMerge: Bool) -> Int {
    let first = unsafe entries[Int(index)]
    let size = first.byteCount
    guard mayMerge, size > 0 else { return 1 }
    var run = 1
    var total = Int(size)
    var next = unsafe entries[Int(index)].next
    while next >= 0, run < 64 {
      let following = unsafe entries[Int(next)]
      guard following.trafficClass == first.trafficClass, following.byteCount <= size, following.byteCount > 0,
        total + Int(following.byteCount) <= 65_000
      else { break }
      run += 1
      total += Int(following.byteCount)
      if following.byteCount < size { break }
      next = following.next
    }
    return run
  }

  /// Fills a message's header from a run of entries and returns the entry after it.
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
    unsafe writeControl(header, message, entry, segment: run > 1 ? entry.byteCount : 0)
    return index
  }

  /// Writes control data as needed: source address, DSCP and ECN, segment size.
  private func writeControl(
    _ header: UnsafeMutablePointer<mmsghdr>, _ message: Int, _ entry: Entry, segment: Int32
  ) {
    guard entry.hasSource || entry.trafficClass > 0 || segment > 0 else {
      unsafe header.pointee.msg_hdr.msg_control = nil
      unsafe header.pointee.msg_hdr.msg_controllen = 0
      return
    }
    let control = unsafe controls + message * Self.controlStride
    unsafe header.pointee.msg_hdr.msg_control = control
    var offset = 0
    unsafe writeRoute(entry, to: control, &offset)
    if segment > 0 {
      var size = UInt16(truncatingIfNeeded: segment)
      unsafe write(&size, 2, level: UDPOffload.level, type: UDPOffload.send, to: control, &offset)
    }
    unsafe header.pointee.msg_hdr.msg_controllen = offset
  }

  /// Writes the control data of an entry's route.
  private func writeRoute(_ entry: Entry, to control: UnsafeMutableRawPointer, _ offset: inout Int) {
    if entry.hasSource, entry.source.family == .ipv4 {
      var info = in_pktinfo()
      info.ipi_spec_dst.s_addr = entry.source.ipv4Bits.bigEndian
      unsafe write(
        &info, MemoryLayout<in_pktinfo>.size, level: Int32(IPPROTO_IP), type: IP_PKTINFO, to: control, &offset)
    } else if entry.hasSource {
      var info = in6_pktinfo()
      info.ipi6_addr = in6_addr(entry.source)
      unsafe write(
        &info, MemoryLayout<in6_pktinfo>.size, level: Int32(IPPROTO_IPV6), type: IPV6_PKTINFO, to: control, &offset)
    }
    guard entry.trafficClass > 0 else { return }
    var value = Int32(entry.trafficClass)
    if Int(entry.nameByteCount) == MemoryLayout<sockaddr_in>.size {
      unsafe write(&value, 4, level: Int32(IPPROTO_IP), type: IP_TOS, to: control, &offset)
    } else {
      unsafe write(&value, 4, level: Int32(IPPROTO_IPV6), type: IPV6_TCLASS, to: control, &offset)
    }
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

  /// Sends messages, and continues after one that cannot be sent. The error may belong to an earlier datagram (an ICMP
  /// error of another peer), which the kernel reports without sending this one: so each message is tried twice.
  mutating func send(_ range: Range<Int>, over descriptor: Int32) {
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
        // The socket's buffer is full: the following messages of this socket have no room either.
        for message in next..<range.upperBound { countOverflow(ofMessage: message) }
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

  mutating func countOverflow(ofMessage message: Int) { overflows &+= UInt64(unsafe messages[message].count) }

  /// Sends each datagram of a run singly after the kernel refused UDP_SEGMENT (for the path, or a size above its MTU),
  /// and remembers the route.
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
    // The batch's headers and vectors are in use, so this one uses the stack.
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
        if entry.hasSource || entry.trafficClass > 0, let base = control.baseAddress {
          var offset = 0
          unsafe writeRoute(entry, to: base, &offset)
          unsafe header.msg_hdr.msg_control = base
          unsafe header.msg_hdr.msg_controllen = offset
        }
        if unsafe sendmmsg(entry.descriptor, &header, 1, Int32(MSG_DONTWAIT)) != 1 { failures &+= 1 }
      }
    }
  }
}
