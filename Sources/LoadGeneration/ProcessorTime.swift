internal import NetIO
internal import NetworkTypes

/// CPU time as the kernel tells it under /proc.
public enum ProcessorTime {
  /// Nanoseconds that all threads of a process have run, from its tasks' schedstat; nil where there is no such process.
  /// What the network stack does in the process's name, its softirqs after a send included, counts.
  public static func ofProcess(_ process: Int) -> UInt64? {
    let path = "/proc/\(process)/task"
    var sum: UInt64?
    for task in Files.names(in: path) {
      guard let text = text("\(path)/\(task)/schedstat"), let first = text.split(separator: " ").first,
        let nanoseconds = UInt64(decimalDigits: first)
      else { continue }
      sum = (sum ?? 0) + nanoseconds
    }
    return sum
  }

  /// How often the threads of a process have been switched away from; nil where there is no such process.
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

  /// Nanoseconds that a core was idle since the system started: in steps of 10 ms.
  public static func idle(ofCore core: Int) -> UInt64? {
    guard let text = text("/proc/stat") else { return nil }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count > 8, words[0] == "cpu\(core)" else { continue }
      // Fields 4, 5 and 8: idle, waiting for a disk, and taken away by the host.
      let ticks = [4, 5, 8].compactMap { UInt64(decimalDigits: words[$0]) }.reduce(0, +)
      return ticks * 10_000_000
    }
    return nil
  }

  /// Bytes of a process that are resident.
  public static func residentBytes(ofProcess process: Int) -> UInt64? {
    guard let text = text("/proc/\(process)/status") else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix("VmRSS:") {
      let words = line.split(separator: " ")
      guard words.count > 1, let kilobytes = UInt64(decimalDigits: words[1]) else { return nil }
      return kilobytes * 1024
    }
    return nil
  }

  private static func text(_ path: String) -> String? {
    guard let bytes = try? Files.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What the server and this process had used when it was read.
struct Reading {
  let instant: Instant
  let server: UInt64?
  let serverSwitches: UInt64?
  let coreIdle: UInt64?
  let own: UInt64?

  /// - Parameter own: the time of what is measured here, where that is not the whole process.
  init(_ settings: LoadSettings, own: UInt64? = nil) {
    let helpers = settings.serverHelpers.compactMap(ProcessorTime.ofProcess).reduce(0, +)
    server = settings.serverProcess.flatMap(ProcessorTime.ofProcess).map { $0 + helpers }
    serverSwitches = settings.serverProcess.flatMap(ProcessorTime.switches)
    coreIdle = settings.serverCore.flatMap(ProcessorTime.idle)
    self.own = own ?? OwnProcess.processorTime
    instant = .read()
  }
}
