internal import CLinux

/// The arguments and environment of the process.
public enum Environment {
  /// All variables; invalid UTF-8 is repaired.
  public static func variables() -> [String: String] {
    var result: [String: String] = [:]
    guard var entry = unsafe clinux_environ() else { return result }
    // Sound: the list ends with a null pointer, and nothing in this program changes it.
    while let text = unsafe entry.pointee {
      let pair = unsafe String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if pair.count == 2 { result[String(pair[0])] = String(pair[1]) }
      unsafe entry += 1
    }
    return result
  }

  /// Ends the process.
  public static func exit(_ status: Int32) -> Never { CLinux.exit(status) }
}

/// This process: its number and CPU time.
public enum OwnProcess {
  public static var identifier: Int { Int(getpid()) }

  /// CPU time of this process in nanoseconds, including ended threads.
  public static var processorTime: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

  /// CPU time of the calling thread in nanoseconds.
  public static var threadProcessorTime: UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var value = timespec()
    guard unsafe clock_gettime(clock, &value) == 0 else { return 0 }
    return UInt64(clamping: value.tv_sec) * 1_000_000_000 + UInt64(clamping: value.tv_nsec)
  }
}
