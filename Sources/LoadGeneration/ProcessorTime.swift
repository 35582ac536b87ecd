public import NetworkTypes
internal import System

/// CPU time and memory of processes and cores, from /proc.
public enum ProcessorTime {
  /// CPU time of all threads of a process, from its tasks' schedstat; nil without such a process. Work of the
  /// network stack within the process's system calls counts, including softirqs after a send.
  public static func ofProcess(_ process: Int) -> Duration? {
    let path = "/proc/\(process)/task"
    var sum: Duration?
    for task in Files.names(in: path) {
      guard let text = text("\(path)/\(task)/schedstat"), let first = text.split(separator: " ").first,
        let nanoseconds = UInt64(decimalDigits: first)
      else { continue }
      sum = (sum ?? .zero) + .nanoseconds(nanoseconds)
    }
    return sum
  }

  /// Context switches of a process's threads; nil without such a process.
  static func switches(ofProcess process: Int) -> UInt64? {
    let path = "/proc/\(process)/task"
    var sum: UInt64?
    for task in Files.names(in: path) {
      guard let text = text("\(path)/\(task)/status") else { continue }
      for line in text.split(separator: "\n") where line.contains("ctxt_switches:") {
        sum = (sum ?? 0) + (line.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64(decimalDigits: $0) } ?? 0)
      }
    }
    return sum
  }

  /// The idle time of a core since the system started, in steps of 10 ms.
  public static func idle(ofCore core: Int) -> Duration? {
    guard let text = text("/proc/stat") else { return nil }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 8, words[0] == "cpu\(core)" else { continue }
      // Fields 4, 5 and 8: idle, iowait and steal.
      let ticks = [4, 5, 8].compactMap { UInt64(decimalDigits: words[$0]) }.reduce(0, +)
      return .milliseconds(ticks * 10)
    }
    return nil
  }

  /// The resident memory of a process.
  public static func residentMemory(ofProcess process: Int) -> ByteCount? {
    guard let text = text("/proc/\(process)/status") else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix("VmRSS:") {
      let words = line.split(separator: " ")
      guard words.count > 1, let kilobytes = UInt64(decimalDigits: words[1]) else { return nil }
      return .bytes(kilobytes * 1024)
    }
    return nil
  }

  private static func text(_ path: String) -> String? {
    guard let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// CPU times of the server and of this process at one instant.
struct Reading {
  let instant: Instant
  let server: Duration?
  let serverSwitches: UInt64?
  let coreIdle: Duration?
  let own: Duration?

  /// - Parameter own: our CPU time, if that is not the whole process's.
  init(_ settings: LoadSettings, own: Duration? = nil) {
    let helpers = settings.serverHelpers.compactMap(ProcessorTime.ofProcess).reduce(.zero, +)
    server = settings.serverProcess.flatMap(ProcessorTime.ofProcess).map { $0 + helpers }
    serverSwitches = settings.serverProcess.flatMap(ProcessorTime.switches)
    coreIdle = settings.serverCore.flatMap(ProcessorTime.idle)
    self.own = own ?? OwnProcess.processorTime
    instant = .read()
  }
}
