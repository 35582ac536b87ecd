internal import CLinux
public import System

/// Datagrams over io_uring: each socket has one multishot receive, which fills slots from a ring of provided buffers.
/// One call sends a batch and waits for the next completions.
///
/// A provided slot has the same layout as every other, with the kernel's header, the name and the control data in its
/// headroom:
///
/// ```
///  | 16 bytes header | 32 bytes name | 208 bytes control data | datagram … |
/// ```
@safe
public struct DatagramRing: ~Copyable {
  private var ring: IORing
  /// The provided slots are the slots of `PacketBuffers` from this one on.
  private let firstSlot: Int
  private let slotCount: Int
  // `slots` and `receiving` are owned by this value alone and freed in deinit. The kernel reads `slots` while `ring`
  // lives, and copies `receiving`.
  private let slots: UnsafeMutableRawPointer
  private let receiving: UnsafeMutablePointer<msghdr>
  private var slotTail: UInt16 = 0
  /// Sockets whose ICMP error queues must be read, because no event reports them.
  public var failed: [Int32] = []

  /// The kinds of tokens of this type's own submissions; other tokens must not use them.
  private static let sendKind: UInt8 = 0xF0
  private static let pollKind: UInt8 = 0xF1
  private static let cancelKind: UInt8 = 0xF2

  /// - Parameter slotCount: a power of two.
  public init(_ buffers: borrowing PacketBuffers, firstSlot: Int, slotCount: Int) throws(Errno) {
    precondition(slotCount & (slotCount - 1) == 0 && firstSlot + slotCount <= buffers.slotCount)
    let ring = try IORing()
    // The memory is page-aligned, as the kernel requires.
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
    // The ring is closed after this; the kernel accesses provided slots only while this thread waits.
    unsafe free(slots)
    unsafe receiving.deallocate()
  }

  // MARK: - Slots

  /// Adds a slot to the ring of provided buffers; `publish` makes it visible to the kernel.
  @inline(__always)
  public mutating func provide(_ slot: Int, _ buffers: borrowing PacketBuffers) {
    let entry = unsafe slots + (Int(slotTail) & (slotCount - 1)) * MemoryLayout<io_uring_buf>.size
    let start = unsafe buffers.start(of: slot) - PacketBuffers.headroom
    // The fields are written one by one, because the last field of the first entry holds the ring's tail.
    unsafe entry.storeBytes(of: UInt64(UInt(bitPattern: start)), as: UInt64.self)
    unsafe entry.storeBytes(
      of: UInt32(PacketBuffers.headroom + PacketBuffers.capacity), toByteOffset: 8, as: UInt32.self)
    unsafe entry.storeBytes(of: UInt16(truncatingIfNeeded: slot - firstSlot), toByteOffset: 12, as: UInt16.self)
    slotTail &+= 1
  }

  /// Makes the provided slots visible to the kernel.
  @inline(__always)
  public mutating func publish() {
    unsafe clinux_store_release16((slots + 14).assumingMemoryBound(to: UInt16.self), slotTail)
  }

  // MARK: - Submitting

  /// Receives from a socket until the receive is cancelled; completions have this token.
  public mutating func receive(from descriptor: Int32, _ token: EventToken) {
    let entry = unsafe ring.next()
    unsafe entry.pointee.opcode = UInt8(IORING_OP_RECVMSG.rawValue)
    unsafe entry.pointee.flags = IORing.SubmissionFlags.bufferSelect
    unsafe entry.pointee.ioprio = IORing.ReceiveFlags.multishot
    unsafe entry.pointee.fd = descriptor
    unsafe entry.pointee.addr = UInt64(UInt(bitPattern: receiving))
    unsafe entry.pointee.len = 1
    unsafe entry.pointee.user_data = token.bits
  }

  /// Submits a poll that completes once, when the descriptor is readable. The descriptor is the event loop of
  /// everything except datagrams.
  public mutating func watch(_ descriptor: Int32) {
    let entry = unsafe ring.next()
    unsafe entry.pointee.opcode = UInt8(IORING_OP_POLL_ADD.rawValue)
    unsafe entry.pointee.fd = descriptor
    unsafe entry.pointee.poll32_events = UInt32(POLLIN)
    unsafe entry.pointee.user_data = EventToken(kind: Self.pollKind).bits
  }

  /// Sends a batch: on return every message has been sent, or refused and counted.
  public mutating func send(_ batch: inout SendBatch) {
    guard batch.count > 0 else { return }
    let before = waitingNow()
    push(&batch)
    ring.submit()
    settle(&batch, since: before)
  }

  /// Sends a batch, then ends `receive` for sockets and waits until the kernel no longer holds them.
  public mutating func send(_ batch: inout SendBatch, thenCancel tokens: [EventToken]) {
    let before = waitingNow()
    push(&batch)
    ring.cancel(tokens.map(\.bits), userData: EventToken(kind: Self.cancelKind).bits)
    settle(&batch, since: before)
  }

  /// Sends a batch and, if `waits`, waits for completions, in one call.
  public mutating func send(_ batch: inout SendBatch, thenWait waits: Bool) {
    let before = waitingNow()
    push(&batch)
    // If completions are already waiting, the call must not wait.
    ring.submitAndWait(for: waits && before == 0 ? 1 : 0)
    settle(&batch, since: before)
  }

  private mutating func waitingNow() -> Int {
    ring.countNew()
    return ring.waiting
  }

  private mutating func push(_ batch: inout SendBatch) {
    guard batch.count > 0 else { return }
    for message in 0..<batch.build() {
      let entry = unsafe ring.next()
      let header = unsafe batch.headers + message
      if unsafe header.pointee.msg_hdr.msg_iovlen == 1, unsafe header.pointee.msg_hdr.msg_controllen == 0 {
        // One piece without control data: the kernel need not read the header.
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
      unsafe entry.pointee.flags = IORing.SubmissionFlags.skipSuccess
      unsafe entry.pointee.fd = batch.descriptor(ofMessage: message)
      unsafe entry.pointee.msg_flags = UInt32(MSG_DONTWAIT)
      unsafe entry.pointee.user_data = Self.userData(message, of: batch)
    }
  }

  /// Identifies a message and its batch: a late completion must not be taken for one of the next batch.
  private static func userData(_ message: Int, of batch: borrowing SendBatch) -> UInt64 {
    EventToken(kind: sendKind, index: UInt32(message), generation: UInt32(truncatingIfNeeded: batch.stamp)).bits
  }

  /// Reads the new completions, and sends each failed message once more by itself.
  private mutating func settle(_ batch: inout SendBatch, since before: Int) {
    let count = waitingNow()
    guard batch.count > 0 else { return }
    for number in before..<count {
      let completion = ring.peek(number)
      let token = EventToken(bits: completion.userData)
      let message = Int(token.index)
      guard token.kind == Self.sendKind, completion.result < 0, completion.userData == Self.userData(message, of: batch)
      else { continue }
      let error = Errno(rawValue: -completion.result)
      if error == .wouldBlock || error == .noBuffers {
        batch.countOverflow(ofMessage: message)
      } else {
        let descriptor = batch.descriptor(ofMessage: message)
        addFailure(of: descriptor)
        batch.send(message..<(message + 1), over: descriptor)
      }
    }
    batch.clear()
  }

  /// Records a failed call on this socket: it may have consumed the error that reports an ICMP message in the socket's
  /// queue.
  public mutating func addFailure(of descriptor: Int32) {
    if failed.count < 64, !failed.contains(descriptor) { failed.append(descriptor) }
  }

  // MARK: - Completions

  /// The meaning of a completion.
  public enum Outcome {
    /// A datagram in a slot.
    case datagram(EventToken, slot: Int, isLast: Bool)
    /// Receiving has ended, for example because no slot was free (`noBuffers`), and must be started again.
    case ended(EventToken, Errno?)
    /// The watched descriptor is readable, or cannot be watched; watching has ended.
    case readable
    /// A submission of this type itself, already handled.
    case settled
  }

  /// The number of completions that wait to be taken.
  public var waiting: Int { ring.waiting }

  /// Takes the oldest completion. For a datagram, the batch then has its source and length.
  @inline(__always)
  public mutating func take(_ batch: inout ReceiveBatch, _ buffers: borrowing PacketBuffers) -> Outcome {
    let completion = ring.peek(0)
    ring.take(1)
    let token = EventToken(bits: completion.userData)
    switch token.kind {
    case Self.sendKind, Self.cancelKind: return .settled
    case Self.pollKind: return .readable
    default: break
    }
    guard let buffer = completion.buffer else {
      return .ended(token, completion.result < 0 ? Errno(rawValue: -completion.result) : nil)
    }
    let slot = firstSlot + buffer
    guard batch.add(provided: slot, buffers) else {
      provide(slot, buffers)
      publish()
      return completion.hasMore ? .settled : .ended(token, nil)
    }
    return .datagram(token, slot: slot, isLast: !completion.hasMore)
  }
}
