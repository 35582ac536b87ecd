internal import CLinux

/// A thread of the operating system (pthread). Each shard runs on one.
public struct Thread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let name: String
    let run: @Sendable () -> Void

    init(name: String, _ run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }

    /// The thread's body. The thread sets its own name with a system call, because another thread would have to write
    /// to /proc, which Landlock may deny.
    func start() {
      _ = unsafe pthread_setname_np(pthread_self(), String(name.prefix(15)))
      run()
    }
  }

  /// Starts a thread.
  ///
  /// - Parameters:
  ///   - name: at most 15 bytes, as `top -H` shows them.
  ///   - takesSignals: false blocks signals to the process, for a thread that starts before `SignalReader` blocks them
  ///     for all threads.
  public init(name: String, takesSignals: Bool = true, _ body: @escaping @Sendable () -> Void) throws(Errno) {
    var before = sigset_t()
    if !takesSignals {
      // A new thread inherits the mask.
      var all = sigset_t()
      unsafe sigfillset(&all)
      // If these signals were blocked, a fault would end the program without a message.
      for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { unsafe sigdelset(&all, fault) }
      _ = unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    }
    defer { if !takesSignals { _ = unsafe pthread_sigmask(SIG_SETMASK, &before, nil) } }
    var handle = pthread_t()
    let context = unsafe Unmanaged.passRetained(Body(name: name, body)).toOpaque()
    let status = unsafe pthread_create(
      &handle, nil,
      { context in
        if let context = unsafe context {
          unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().start()
        }
        return nil
      }, context)
    guard status == 0 else {
      unsafe Unmanaged<Body>.fromOpaque(context).release()
      throw Errno(rawValue: status)
    }
    self.handle = handle
  }

  /// Waits until the thread has ended.
  public func join() { _ = pthread_join(handle, nil) }

  /// Waits up to a second for the thread's end, for threads that a file may block.
  public func joinSoon() {
    var deadline = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_sec += 1
    _ = unsafe pthread_timedjoin_np(handle, nil, &deadline)
  }

  /// Gives the calling thread the lowest scheduling priority; false if the kernel refuses.
  @discardableResult
  public static func lowerPriority() -> Bool { clinux_lower_priority() == 0 }

  /// Runs `body` with the calling thread pinned to its usable core number `number`, or to the last one if there are
  /// fewer.
  public static func withCore<Result: ~Copyable, Failure: Error>(
    _ number: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var before = cpu_set_t()
    guard unsafe sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &before) == 0 else { return try body() }
    var left = number
    var chosen: Int?
    unsafe withUnsafeBytes(of: &before) { bytes in
      for core in 0..<(bytes.count * 8) where unsafe bytes[core / 8] & (1 << UInt8(core % 8)) != 0 {
        chosen = core
        if left == 0 { return }
        left -= 1
      }
    }
    if let chosen {
      var one = cpu_set_t()
      unsafe withUnsafeMutableBytes(of: &one) { unsafe $0[chosen / 8] = 1 << UInt8(chosen % 8) }
      _ = unsafe sched_setaffinity(0, MemoryLayout<cpu_set_t>.size, &one)
    }
    defer { _ = unsafe sched_setaffinity(0, MemoryLayout<cpu_set_t>.size, &before) }
    return try body()
  }

  /// The CPU time of the calling thread.
  public static var processorTime: Duration { processorTime(of: CLOCK_THREAD_CPUTIME_ID) }

  static func processorTime(of clock: clockid_t) -> Duration {
    var value = timespec()
    _ = unsafe clock_gettime(clock, &value)
    return .seconds(value.tv_sec) + .nanoseconds(value.tv_nsec)
  }

  /// The number of cores on which this process may run.
  public static var usableCoreCount: Int {
    var set = cpu_set_t()
    guard unsafe sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return 1 }
    return unsafe withUnsafeBytes(of: &set) { bytes in
      max(1, unsafe bytes.reduce(0) { $0 + $1.nonzeroBitCount })
    }
  }
}
