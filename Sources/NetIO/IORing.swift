internal import CLinux
public import System

/// Two queues shared with the kernel (io_uring(7)): one for submissions, one for completions. A ring belongs to the
/// thread that creates it.
///
/// With deferred task work the kernel completes operations only while this thread waits here.
///
/// This code does not use liburing, which is as fast (2.3 of Debian 12, NOPs: 370 ns one at a time, 70 ns each in
/// batches of 64). It would be one more dependency, and would replace only the queues' memory and the calls: the flags,
/// the meaning of errors and the use of sockets and buffers would stay here. Its io_uring.h also declares the kernel's
/// structures again, and Clang refuses this together with <linux/io_uring.h> in another module.
@safe
public struct IORing: ~Copyable {
  /// The result of a submission.
  public struct Completion: Sendable, BitwiseCopyable {
    /// The submission's `user_data`.
    public let userData: UInt64
    /// A number of bytes, or a negated error.
    public let result: Int32
    let flags: CompletionFlags

    /// Whether the submission will complete again (multishot).
    public var hasMore: Bool { flags.contains(.more) }

    /// The provided buffer with the data.
    @inline(__always)
    public var buffer: Int? {
      flags.contains(.buffer) ? Int(flags.rawValue >> CompletionFlags.bufferShift) : nil
    }
  }

  let descriptor: FileDescriptor
  /// The first argument of io_uring_enter: the ring's registered index, which saves a look-up and a reference count in
  /// the kernel; the descriptor if the kernel cannot register rings.
  private let enteredAs: Int32
  private let enterFlags: EnterFlags
  var isRegistered: Bool { enterFlags.contains(.registeredRing) }
  // The kernel's memory, unmapped in deinit; indices into it are always masked.
  let mapping: IORingMapping
  /// The number of submissions that the kernel has not accepted yet.
  private var pending: UInt32 = 0
  private var submissionTail: UInt32
  /// The kernel's tail when `countNew` last read it.
  private var seenTail: UInt32 = 0
  private var completionHead: UInt32 = 0

  /// - Throws: the kernel's reason: `notPermitted` (seccomp, the sysctl kernel.io_uring_disabled), `notImplemented`, or
  ///   `invalidArgument` for a kernel older than 6.1.
  public init(submissions: UInt32 = 1024, completions: UInt32 = 16_384) throws(Errno) {
    var parameters = io_uring_params()
    parameters.flags = SetupFlags.all.rawValue
    parameters.cq_entries = completions
    let descriptor = FileDescriptor(
      owning: try retrying { unsafe clinux_io_uring_setup(submissions, &parameters) })
    let mapping = try IORingMapping(descriptor.rawValue, parameters)
    submissionTail = unsafe mapping.submissionTail.pointee
    var registration = io_uring_rsrc_update()
    registration.offset = .max
    registration.data = UInt64(descriptor.rawValue)
    let isRegistered =
      unsafe clinux_io_uring_register(descriptor.rawValue, RegisterOperation.registerRing, &registration, 1) == 1
    enteredAs = isRegistered ? Int32(bitPattern: registration.offset) : descriptor.rawValue
    var flags: EnterFlags = isRegistered ? .registeredRing : []
    if Features(rawValue: parameters.features).contains(.noIOWait) { flags.insert(.noIOWait) }
    enterFlags = flags
    self.mapping = mapping
    self.descriptor = descriptor
  }

  deinit {
    // Unregisters the index, which holds a reference to the ring: otherwise the ring would outlive its descriptor and
    // write into freed buffers.
    guard isRegistered else { return }
    var registration = io_uring_rsrc_update()
    registration.offset = UInt32(bitPattern: enteredAs)
    _ = unsafe clinux_io_uring_register(descriptor.rawValue, RegisterOperation.unregisterRing, &registration, 1)
  }

  // MARK: - Submitting

  /// An empty submission to fill. If the queue is full, submits the others first.
  @inline(__always)
  mutating func next() -> UnsafeMutablePointer<io_uring_sqe> {
    if pending == mapping.submissionCount { submit() }
    let entry = unsafe mapping.submissions + Int(submissionTail & mapping.submissionMask)
    unsafe entry.pointee = io_uring_sqe()
    submissionTail &+= 1
    pending &+= 1
    return unsafe entry
  }

  /// Submits pending operations. Those that need not wait (sends) are complete on return.
  @inline(__always)
  public mutating func submit() {
    while pending > 0 {
      let done = unsafe enter(complete: 0, flags: [], nil, 0)
      if done < 0 {
        let error = Errno.current
        if error == .interrupted { continue }
        stopAfterOwnMistake("io_uring_enter", error)
        // The completion queue is full (EBUSY), or the kernel is short of memory (EAGAIN): this call lets the kernel
        // move its backlog first.
        _ = clinux_io_uring_enter(enteredAs, 0, 0, enterFlags.union(.getEvents).rawValue, nil, 0)
        continue
      }
      pending -= min(UInt32(done), pending)
    }
  }

  /// Submits pending operations and waits for `complete` completions.
  @inline(__always)
  mutating func submitAndWait(for complete: UInt32) {
    let done = unsafe enter(complete: complete, flags: .getEvents, nil, 0)
    if done > 0 { pending -= min(UInt32(done), pending) }
    if done < 0 { stopAfterOwnMistake("io_uring_enter", .current) }
    submit()
  }

  /// Submits pending operations and waits for `complete` completions, or for the timeout.
  mutating func submitAndWait(for complete: UInt32, timeout: Duration) {
    let (seconds, attoseconds) = timeout.components
    var time = __kernel_timespec(tv_sec: seconds, tv_nsec: attoseconds / 1_000_000_000)
    unsafe withUnsafePointer(to: &time) { time in
      var argument = io_uring_getevents_arg()
      argument.ts = UInt64(UInt(bitPattern: time))
      let done = unsafe enter(
        complete: complete, flags: [.getEvents, .extendedArgument], &argument,
        MemoryLayout<io_uring_getevents_arg>.size)
      // A timeout is returned as an error only if nothing was submitted.
      if done > 0 { pending -= min(UInt32(done), pending) }
    }
    submit()
  }

  private func enter(
    complete: UInt32, flags: EnterFlags, _ argument: UnsafeRawPointer?, _ size: Int
  ) -> Int32 {
    unsafe clinux_store_release(mapping.submissionTail, submissionTail)
    return unsafe clinux_io_uring_enter(
      enteredAs, pending, complete, flags.union(enterFlags).rawValue, argument, size)
  }

  // MARK: - Completions

  /// Reads the kernel's tail; returns the number of new completions since the last call, the newest of `waiting`.
  @inline(__always)
  @discardableResult
  mutating func countNew() -> Int {
    let tail = unsafe clinux_load_acquire(mapping.completionTail)
    let count = Int(tail &- seenTail)
    seenTail = tail
    return count
  }

  /// The number of completions that wait to be taken.
  @inline(__always)
  public var waiting: Int { Int(seenTail &- completionHead) }

  /// A completion that waits to be taken; the oldest is number 0.
  @inline(__always)
  public func peek(_ number: Int) -> Completion {
    let entry =
      unsafe mapping.completions + Int((completionHead &+ UInt32(truncatingIfNeeded: number)) & mapping.completionMask)
    return unsafe Completion(
      userData: entry.pointee.user_data, result: entry.pointee.res,
      flags: CompletionFlags(rawValue: entry.pointee.flags))
  }

  /// Removes the oldest completions.
  @inline(__always)
  public mutating func take(_ count: Int) {
    completionHead &+= UInt32(truncatingIfNeeded: count)
    unsafe clinux_store_release(mapping.completionHead, completionHead)
  }

  /// Cancels the submissions with these `user_data`, and returns after the last completion of each: then the kernel no
  /// longer holds their descriptors.
  ///
  /// - Parameter own: the `user_data` of the first cancellation; bits 32 to 55 count the others.
  public mutating func cancel(_ targets: [UInt64], userData own: UInt64) {
    countNew()
    var looked = waiting
    var left: [UInt64: Int] = [:]
    for (number, target) in targets.enumerated() {
      left[target] = number
      let entry = unsafe next()
      unsafe entry.pointee.opcode = UInt8(IORING_OP_ASYNC_CANCEL.rawValue)
      unsafe entry.pointee.fd = -1
      unsafe entry.pointee.flags = SubmissionFlags.skipSuccess
      unsafe entry.pointee.addr = target
      unsafe entry.pointee.user_data = own &+ UInt64(truncatingIfNeeded: number & 0xFF_FFFF) << 32
    }
    // One wait is usual; the number of waits is limited.
    for _ in 0..<64 where !left.isEmpty {
      submitAndWait(for: UInt32(waiting + 1), timeout: .milliseconds(10))
      countNew()
      while looked < waiting {
        let completion = peek(looked)
        looked += 1
        if !completion.hasMore { left[completion.userData] = nil }
        // ENOENT: the last completion had already arrived.
        let number = completion.userData &- own
        if completion.result == -ENOENT, number & 0xFF00_0000_FFFF_FFFF == 0, Int(number >> 32) < targets.count {
          left[targets[Int(number >> 32)]] = nil
        }
      }
    }
  }
}
