internal import CLinux

/// A pair of queues shared with the kernel (io_uring(7)): what is to be done goes into one, what has been done comes
/// out of the other. Belongs to the thread that makes it.
///
/// Deferred task work: the kernel completes nothing behind this thread's back, only while it waits here.
@safe
public struct IORing: ~Copyable {
  /// Something that the kernel has done.
  public struct Completion: Sendable, BitwiseCopyable {
    /// What the submission was marked with.
    public let mark: UInt64
    /// Bytes, or a negated error.
    public let result: Int32
    let flags: UInt32

    /// Whether the submission lives on and will complete again.
    public var hasMore: Bool { flags & IORing.more != 0 }

    /// The provided buffer that the data lies in.
    @inline(__always)
    public var buffer: Int? { flags & IORing.hasBuffer != 0 ? Int(flags >> 16) : nil }
  }

  let descriptor: FileDescriptor
  /// What the kernel knows the ring by when it is entered: a number of this thread's, which costs it no look-up and no
  /// count of uses; the descriptor where the kernel has no such numbers.
  private let entrance: Int32
  private let entranceFlags: UInt32
  var isRegistered: Bool { entranceFlags != 0 }
  // The kernel's memory, unmapped in deinit; indices into it are always masked.
  let mapping: IORingMapping
  /// Submissions that the kernel has not been told of yet.
  private var pending: UInt32 = 0
  private var submissionTail: UInt32
  /// The kernel's tail when completions were looked at last.
  private var seenTail: UInt32 = 0
  private var completionHead: UInt32 = 0

  static let more: UInt32 = 1 << 1
  static let skipSuccess: UInt8 = 1 << 6
  static let hasBuffer: UInt32 = 1 << 0

  /// - Throws: what the kernel refuses it with: `notPermitted` (seccomp, the sysctl kernel.io_uring_disabled),
  ///   `notImplemented`, `invalidArgument` where the kernel is older than 6.1.
  public init(submissions: UInt32 = 1024, completions: UInt32 = 16_384) throws(Errno) {
    var parameters = io_uring_params()
    parameters.flags = Self.setup
    parameters.cq_entries = completions
    let descriptor = FileDescriptor(
      owning: try retrying32 { unsafe clinux_io_uring_setup(submissions, &parameters) })
    let mapping = try IORingMapping(descriptor.rawValue, parameters)
    submissionTail = unsafe mapping.submissionTail.pointee
    var registration = io_uring_rsrc_update()
    registration.offset = .max
    registration.data = UInt64(descriptor.rawValue)
    let isRegistered =
      unsafe clinux_io_uring_register(descriptor.rawValue, Self.registerRing, &registration, 1) == 1
    entrance = isRegistered ? Int32(bitPattern: registration.offset) : descriptor.rawValue
    entranceFlags = isRegistered ? 1 << 4 /* REGISTERED_RING */ : 0
    self.mapping = mapping
    self.descriptor = descriptor
  }

  deinit {
    // The thread's number is a use of the ring of its own: without this the ring would outlive its descriptor, and go
    // on writing into buffers that are gone.
    guard isRegistered else { return }
    var registration = io_uring_rsrc_update()
    registration.offset = UInt32(bitPattern: entrance)
    _ = unsafe clinux_io_uring_register(descriptor.rawValue, Self.unregisterRing, &registration, 1)
  }

  // Debian 12's header is older than some of these.
  private static let registerRing: UInt32 = 20
  private static let unregisterRing: UInt32 = 21
  private static let setup: UInt32 =
    1 << 3 /* CQSIZE */ | 1 << 4 /* CLAMP */ | 1 << 7 /* SUBMIT_ALL */ | 1 << 12 /* SINGLE_ISSUER */
    | 1 << 13 /* DEFER_TASKRUN */

  // MARK: - Submitting

  /// An empty submission to fill; makes room by telling the kernel of the others where there is none.
  @inline(__always)
  mutating func next() -> UnsafeMutablePointer<io_uring_sqe> {
    if pending == mapping.submissionCount { submit() }
    let entry = unsafe mapping.submissions + Int(submissionTail & mapping.submissionMask)
    unsafe entry.pointee = io_uring_sqe()
    submissionTail &+= 1
    pending &+= 1
    return unsafe entry
  }

  /// Has the kernel do what has been submitted. What can be done at once (sends) has been done on return.
  @inline(__always)
  public mutating func submit() {
    while pending > 0 {
      let done = unsafe enter(complete: 0, flags: 0, nil, 0)
      if done < 0 {
        let error = Errno.current
        if error == .interrupted { continue }
        // It cannot take more before completions have been made room for: those that are due are moved here.
        _ = clinux_io_uring_enter(entrance, 0, 0, Self.getEvents | entranceFlags, nil, 0)
        continue
      }
      pending -= min(UInt32(done), pending)
    }
  }

  /// Submits what is pending and waits until there are so many completions.
  @inline(__always)
  mutating func submitAndWait(for complete: UInt32) {
    let done = unsafe enter(complete: complete, flags: Self.getEvents, nil, 0)
    if done > 0 { pending -= min(UInt32(done), pending) }
    submit()
  }

  /// The same, at most for so long.
  mutating func submitAndWait(for complete: UInt32, milliseconds: Int32) {
    var time = __kernel_timespec(
      tv_sec: Int64(milliseconds / 1000), tv_nsec: Int64(milliseconds % 1000) * 1_000_000)
    unsafe withUnsafePointer(to: &time) { time in
      var argument = io_uring_getevents_arg()
      argument.ts = UInt64(UInt(bitPattern: time))
      let done = unsafe enter(
        complete: complete, flags: Self.getEvents | Self.extendedArgument, &argument,
        MemoryLayout<io_uring_getevents_arg>.size)
      // A timeout is an error only where nothing was submitted.
      if done > 0 { pending -= min(UInt32(done), pending) }
    }
    submit()
  }

  private func enter(
    complete: UInt32, flags: UInt32, _ argument: UnsafeRawPointer?, _ size: Int
  ) -> Int32 {
    unsafe clinux_store_release(mapping.submissionTail, submissionTail)
    return unsafe clinux_io_uring_enter(entrance, pending, complete, flags | entranceFlags, argument, size)
  }

  static let getEvents: UInt32 = 1 << 0
  static let extendedArgument: UInt32 = 1 << 3

  // MARK: - Completions

  /// How many completions have come since this was asked last; they are the newest of `waiting`.
  @inline(__always)
  mutating func fresh() -> Int {
    let tail = unsafe clinux_load_acquire(mapping.completionTail)
    let count = Int(tail &- seenTail)
    seenTail = tail
    return count
  }

  /// How many completions wait to be taken.
  @inline(__always)
  public var waiting: Int { Int(seenTail &- completionHead) }

  /// A completion that waits, the oldest being number 0.
  @inline(__always)
  public func peek(_ number: Int) -> Completion {
    let entry = unsafe mapping.completions + Int((completionHead &+ UInt32(truncatingIfNeeded: number)) & mapping.completionMask)
    return unsafe Completion(mark: entry.pointee.user_data, result: entry.pointee.res, flags: entry.pointee.flags)
  }

  /// Forgets the oldest completions.
  @inline(__always)
  public mutating func take(_ count: Int) {
    completionHead &+= UInt32(truncatingIfNeeded: count)
    unsafe clinux_store_release(mapping.completionHead, completionHead)
  }

  /// Ends whatever was submitted with these marks, and returns once the last completion of each is there: after that
  /// the kernel holds the descriptors no longer.
  ///
  /// - Parameter own: what the first cancellation is marked with; bits 32 to 55 count the others.
  public mutating func cancel(_ marks: [UInt64], markedFrom own: UInt64) {
    _ = fresh()
    var looked = waiting
    var left: [UInt64: Int] = [:]
    for (number, mark) in marks.enumerated() {
      left[mark] = number
      let entry = unsafe next()
      unsafe entry.pointee.opcode = UInt8(IORING_OP_ASYNC_CANCEL.rawValue)
      unsafe entry.pointee.fd = -1
      unsafe entry.pointee.flags = Self.skipSuccess
      unsafe entry.pointee.addr = mark
      unsafe entry.pointee.user_data = own &+ UInt64(truncatingIfNeeded: number & 0xFF_FFFF) << 32
    }
    // Once is the rule; a kernel that takes its time is not waited for without end.
    for _ in 0..<64 where !left.isEmpty {
      submitAndWait(for: UInt32(waiting + 1), milliseconds: 10)
      _ = fresh()
      while looked < waiting {
        let completion = peek(looked)
        looked += 1
        if !completion.hasMore { left[completion.mark] = nil }
        // There was nothing to cancel: the last completion had come before.
        let number = completion.mark &- own
        if completion.result == -ENOENT, number & 0xFF00_0000_FFFF_FFFF == 0, Int(number >> 32) < marks.count {
          left[marks[Int(number >> 32)]] = nil
        }
      }
    }
  }
}
