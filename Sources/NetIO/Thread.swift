internal import CLinux

/// A plain kernel thread: what a shard runs on.
public struct Thread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a thread. Its name, of at most 15 bytes, shows in `top -H`.
  public init(name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
    var handle = pthread_t()
    let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
    let status = unsafe pthread_create(&handle, nil, { context in
      if let context = unsafe context {
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
      }
      return nil
    }, context)
    guard status == 0 else {
      unsafe Unmanaged<Body>.fromOpaque(context).release()
      throw Errno(rawValue: status)
    }
    self.handle = handle
    _ = unsafe pthread_setname_np(handle, String(name.prefix(15)))
  }

  /// Waits until the thread has ended.
  public func join() { _ = pthread_join(handle, nil) }

  /// Runs `body` with the calling thread on one of its usable cores only: the first one, or the one `number` places
  /// behind it where there are so many.
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

  /// How many cores this process may run on.
  public static var usableCoreCount: Int {
    var set = cpu_set_t()
    guard unsafe sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return 1 }
    return unsafe withUnsafeBytes(of: &set) { bytes in
      max(1, unsafe bytes.reduce(0) { $0 + $1.nonzeroBitCount })
    }
  }
}
