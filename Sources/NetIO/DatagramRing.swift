internal import CLinux

/// Datagrams over io_uring: every socket is received from without being asked (multishot), into slots that the kernel
/// takes from a ring of provided ones; what is sent is handed over in one call with waiting for what comes next.
///
/// A provided slot looks like every other, with the kernel's own header, the name and the control data in its headroom:
///
/// ```
///  | 16 bytes header | 32 bytes name | 208 bytes control data | datagram … |
/// ```
@safe
public struct DatagramRing: ~Copyable {
  private var ring: IORing
  /// The provided slots are those of `PacketBuffers` from here on.
  private let firstSlot: Int
  private let slotCount: Int
  // Owned alone, freed in deinit. The kernel reads `slots` as long as `ring` lives, and copies `receiving`.
  private let slots: UnsafeMutableRawPointer
  private let receiving: UnsafeMutablePointer<msghdr>
  private var slotTail: UInt16 = 0
  /// Sockets whose error queues are to be looked at, because nothing else would tell of them.
  public var failed: [Int32] = []

  /// What submissions of this type itself are marked with; nobody else's token may be of these kinds.
  private static let sendKind: UInt8 = 0xF0
  private static let pollKind: UInt8 = 0xF1
  private static let cancelKind: UInt8 = 0xF2

  /// - Parameter slotCount: a power of two.
  public init(_ buffers: borrowing PacketBuffers, firstSlot: Int, slotCount: Int) throws(Errno) {
    precondition(slotCount & (slotCount - 1) == 0 && firstSlot + slotCount <= buffers.slotCount)
    let ring = try IORing()
    // Page-aligned, as the kernel wants it.
    guard let slots = unsafe aligned_alloc(4096, max(slotCount * MemoryLayout<io_uring_buf>.size, 4096)) else {
      throw .noBuffers
    }
    unsafe slots.initializeMemory(as: UInt8.self, repeating: 0, count: slotCount * MemoryLayout<io_uring_buf>.size)
    var registration = io_uring_buf_reg()
    registration.ring_addr = UInt64(UInt(bitPattern: slots))
    registration.ring_entries = UInt32(slotCount)
    let status = unsafe clinux_io_uring_register(
      ring.descriptor.rawValue, UInt32(IORING_REGISTER_PBUF_RING), &registration, 1)
    guard status == 0 else {
      let error = Errno.current
      unsafe free(slots)
      throw error
    }
    unsafe receiving = .allocate(capacity: 1)
    var message = unsafe msghdr()
    unsafe message.msg_namelen = UInt32(ReceiveBatch.providedNameByteCount)
    unsafe message.msg_controllen = ReceiveBatch.providedControlByteCount
    unsafe receiving.initialize(to: message)
    unsafe self.slots = slots
    self.ring = ring
    self.firstSlot = firstSlot
    self.slotCount = slotCount
    for slot in firstSlot..<(firstSlot + slotCount) { provide(slot, buffers) }
    publish()
  }

  deinit {
    // The ring itself goes after this; the kernel touches a provided slot only when this thread waits.
    unsafe free(slots)
    unsafe receiving.deallocate()
  }

  // MARK: - Slots

  /// Gives a slot to the kernel; `publish` tells it.
  @inline(__always)
  public mutating func provide(_ slot: Int, _ buffers: borrowing PacketBuffers) {
    let entry = unsafe slots + (Int(slotTail) & (slotCount - 1)) * MemoryLayout<io_uring_buf>.size
    let start = unsafe buffers.start(of: slot) - PacketBuffers.headroom
    // Field by field: the ring's tail lies in the last field of the first entry.
    unsafe entry.storeBytes(of: UInt64(UInt(bitPattern: start)), as: UInt64.self)
    unsafe entry.storeBytes(of: UInt32(PacketBuffers.headroom + PacketBuffers.capacity), toByteOffset: 8, as: UInt32.self)
    unsafe entry.storeBytes(of: UInt16(truncatingIfNeeded: slot - firstSlot), toByteOffset: 12, as: UInt16.self)
    slotTail &+= 1
  }

  @inline(__always)
  public mutating func publish() {
    unsafe clinux_store_release16((slots + 14).assumingMemoryBound(to: UInt16.self), slotTail)
  }

  // MARK: - Submitting

  /// Receives from a socket until it is cancelled, under this token.
  public mutating func receive(from descriptor: Int32, _ token: EventToken) {
    let entry = unsafe ring.next()
    unsafe entry.pointee.opcode = UInt8(IORING_OP_RECVMSG.rawValue)
    unsafe entry.pointee.flags = Self.bufferSelect
    unsafe entry.pointee.ioprio = Self.multishot
    unsafe entry.pointee.fd = descriptor
    unsafe entry.pointee.addr = UInt64(UInt(bitPattern: receiving))
    unsafe entry.pointee.len = 1
    unsafe entry.pointee.user_data = token.bits
  }

  /// Tells once when a descriptor has become readable: an event loop of everything that is no datagram.
  public mutating func watch(_ descriptor: Int32) {
    let entry = unsafe ring.next()
    unsafe entry.pointee.opcode = UInt8(IORING_OP_POLL_ADD.rawValue)
    unsafe entry.pointee.fd = descriptor
    unsafe entry.pointee.poll32_events = UInt32(POLLIN)
    unsafe entry.pointee.user_data = EventToken(kind: Self.pollKind).bits
  }

  /// Sends a batch: on return all of it has left, or was refused and counted.
  public mutating func send(_ batch: inout SendBatch) {
    guard batch.count > 0 else { return }
    let before = waitingNow()
    push(&batch)
    ring.submit()
    settle(&batch, since: before)
  }

  /// Sends a batch, then ends `receive` for sockets and waits until the kernel holds them no longer.
  public mutating func send(_ batch: inout SendBatch, thenCancel tokens: [EventToken]) {
    let before = waitingNow()
    push(&batch)
    ring.cancel(tokens.map(\.bits), markedFrom: EventToken(kind: Self.cancelKind).bits)
    settle(&batch, since: before)
  }

  /// Sends a batch and, where told to, waits for completions, in one call.
  public mutating func send(_ batch: inout SendBatch, thenWait waits: Bool) {
    let before = waitingNow()
    push(&batch)
    // What is there already needs no waiting for.
    ring.submitAndWait(for: waits && before == 0 ? 1 : 0)
    settle(&batch, since: before)
  }

  private mutating func waitingNow() -> Int {
    _ = ring.fresh()
    return ring.waiting
  }

  private mutating func push(_ batch: inout SendBatch) {
    guard batch.count > 0 else { return }
    for message in 0..<batch.build() {
      let entry = unsafe ring.next()
      let header = unsafe batch.headers + message
      if unsafe header.pointee.msg_hdr.msg_iovlen == 1, unsafe header.pointee.msg_hdr.msg_controllen == 0 {
        // One piece and nothing to say about it: the kernel need not read the header.
        unsafe entry.pointee.opcode = UInt8(IORING_OP_SEND.rawValue)
        unsafe entry.pointee.addr = UInt64(UInt(bitPattern: header.pointee.msg_hdr.msg_iov.pointee.iov_base))
        unsafe entry.pointee.len = UInt32(truncatingIfNeeded: header.pointee.msg_hdr.msg_iov.pointee.iov_len)
        unsafe entry.pointee.addr2 = UInt64(UInt(bitPattern: header.pointee.msg_hdr.msg_name))
        unsafe entry.pointee.addr_len = UInt16(truncatingIfNeeded: header.pointee.msg_hdr.msg_namelen)
      } else {
        unsafe entry.pointee.opcode = UInt8(IORING_OP_SENDMSG.rawValue)
        unsafe entry.pointee.addr = UInt64(UInt(bitPattern: header))
        unsafe entry.pointee.len = 1
      }
      unsafe entry.pointee.flags = IORing.skipSuccess
      unsafe entry.pointee.fd = batch.descriptor(ofMessage: message)
      unsafe entry.pointee.msg_flags = UInt32(MSG_DONTWAIT)
      unsafe entry.pointee.user_data = Self.mark(message, of: batch)
    }
  }

  /// A message of a batch and of no other: a late completion must not be taken for one of the next batch.
  private static func mark(_ message: Int, of batch: borrowing SendBatch) -> UInt64 {
    EventToken(kind: sendKind, index: UInt32(message), generation: UInt32(truncatingIfNeeded: batch.stamp)).bits
  }

  /// Looks at what has been completed since last time: sends that failed are tried once more, by themselves.
  private mutating func settle(_ batch: inout SendBatch, since before: Int) {
    let count = waitingNow()
    guard batch.count > 0 else { return }
    for number in before..<count {
      let completion = ring.peek(number)
      let token = EventToken(bits: completion.mark)
      let message = Int(token.index)
      guard token.kind == Self.sendKind, completion.result < 0, completion.mark == Self.mark(message, of: batch)
      else { continue }
      let error = Errno(rawValue: -completion.result)
      if error == .wouldBlock || error == .noBuffers {
        batch.countOverflow(ofMessage: message)
      } else {
        let descriptor = batch.descriptor(ofMessage: message)
        noteFailure(of: descriptor)
        batch.send(message..<(message + 1), over: descriptor)
      }
    }
    batch.clear()
  }

  /// Notes that a call on this socket has failed: it may have taken the error that would have told of ICMP messages in
  /// the socket's queue.
  public mutating func noteFailure(of descriptor: Int32) {
    if failed.count < 64, !failed.contains(descriptor) { failed.append(descriptor) }
  }

  private static let bufferSelect: UInt8 = 1 << 5
  private static let multishot: UInt16 = 1 << 1

  // MARK: - Completions

  /// What a completion is about.
  public enum Outcome {
    /// A datagram lies in a slot.
    case datagram(EventToken, slot: Int, isLast: Bool)
    /// Receiving has ended with an error, or without one because no slot was free: it has to be begun again.
    case ended(EventToken, Errno?)
    /// The watched descriptor is readable, or cannot be watched; it is watched no longer.
    case readable
    /// Something of this type's own.
    case settled
  }

  public var waiting: Int { ring.waiting }

  /// Takes the oldest completion. What lies in a slot is noted in the batch, which then knows its name and length.
  @inline(__always)
  public mutating func take(_ batch: inout ReceiveBatch, _ buffers: borrowing PacketBuffers) -> Outcome {
    let completion = ring.peek(0)
    ring.take(1)
    let token = EventToken(bits: completion.mark)
    switch token.kind {
    case Self.sendKind, Self.cancelKind: return .settled
    case Self.pollKind: return .readable
    default: break
    }
    guard let buffer = completion.buffer else {
      return .ended(token, completion.result < 0 ? Errno(rawValue: -completion.result) : nil)
    }
    let slot = firstSlot + buffer
    guard batch.note(provided: slot, buffers) else {
      provide(slot, buffers)
      publish()
      return completion.hasMore ? .settled : .ended(token, nil)
    }
    return .datagram(token, slot: slot, isLast: !completion.hasMore)
  }
}
