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

  /// CPU time of this process, including ended threads; `Thread.processorTime` is that of the calling thread.
  public static var processorTime: Duration { Thread.processorTime(of: CLOCK_PROCESS_CPUTIME_ID) }
}
