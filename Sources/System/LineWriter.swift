internal import CLinux
internal import NetworkTypes
internal import Synchronization

/// Writes lines to a descriptor that may block (standard error, standard output) on a separate thread, so that a
/// stopped reader never blocks the threads that log.
///
/// The queue has a limit of lines and bytes, at which a line is refused. Lines that wait when the process ends are lost
/// unless `finish` is called before.
public final class LineWriter: Sendable {
  /// Limits of the lines that wait, and of their bytes.
  public static let lineLimit = 8192
  public static let byteLimit = 1 << 20

  private struct Queue {
    var lines: [String] = []
    var bytes = 0
    var hasRefused = false
    var isFinished = false
  }

  private let descriptor: Int32
  private let queue = Mutex(Queue())
  /// Wakes the thread when lines wait. It carries no lines.
  private let work: Mailbox<Void>
  /// Signals that everything has been written after `finish`.
  private let end: Mailbox<Void>

  public init(descriptor: Int32) throws(Errno) {
    self.descriptor = descriptor
    work = try Mailbox(capacity: 1)
    end = try Mailbox(capacity: 1)
  }

  /// Queues a line, which includes its newline; false if the queue is full. Never blocks.
  public func write(_ line: String) -> Bool {
    let isTaken = queue.withLock { queue in
      guard !queue.isFinished, queue.lines.count < Self.lineLimit, queue.bytes + line.utf8.count <= Self.byteLimit
      else {
        queue.hasRefused = true
        return false
      }
      queue.lines.append(line)
      queue.bytes += line.utf8.count
      return true
    }
    if isTaken { work.post(()) }
    return isTaken
  }

  /// Starts the thread, which handles no signals.
  ///
  /// - Parameters:
  ///   - atStart: called on that thread first.
  ///   - caughtUp: called on that thread when lines have been refused or lost, and a write succeeds again.
  ///   - failed: called on that thread when a write fails, with the number of lines that are lost.
  public func start(
    atStart: @escaping @Sendable () -> Void = {}, caughtUp: @escaping @Sendable () -> Void = {},
    failed: @escaping @Sendable (Errno, Int) -> Void = { _, _ in }
  ) throws(Errno) {
    _ = try Thread(name: "lines-\(descriptor)", takesSignals: false) { [self] in
      atStart()
      run(caughtUp: caughtUp, failed: failed)
    }
  }

  private func run(caughtUp: () -> Void, failed: (Errno, Int) -> Void) {
    var isFailing = false
    var hasLost = false
    while true {
      work.wait()
      _ = work.takeAll()
      while let lines = takeLines() {
        do throws(Errno) {
          try Files.write(Array(lines.joined().utf8), to: descriptor)
          isFailing = false
        } catch {
          isFailing = true
          hasLost = true
          failed(error, lines.count)
        }
        // These lines count until they are written, so that a stopped reader cannot make the writer hold twice the
        // limit.
        let hasRefused = queue.withLock { queue in
          queue.bytes -= lines.reduce(0) { $0 + $1.utf8.count }
          defer { queue.hasRefused = false }
          return queue.hasRefused
        }
        hasLost = hasLost || hasRefused
        if hasLost, !isFailing {
          hasLost = false
          caughtUp()
        }
      }
      if queue.withLock({ $0.isFinished && $0.lines.isEmpty }) {
        end.post(())
        return
      }
    }
  }

  private func takeLines() -> [String]? {
    queue.withLock { queue in
      guard !queue.lines.isEmpty else { return nil }
      defer { queue.lines = [] }
      return queue.lines
    }
  }

  /// Accepts no more lines, and waits until the queued ones are written.
  ///
  /// - Parameter timeout: the longest wait, so that a stopped reader does not delay the program's end for long.
  public func finish(within timeout: Duration = .seconds(1)) {
    queue.withLock { $0.isFinished = true }
    work.post(())
    let deadline = Instant.read().advanced(by: timeout)
    // A wait may end early without a signal.
    while end.takeAll().isEmpty {
      let now = Instant.read()
      guard now < deadline else { return }
      end.wait(for: deadline.duration(since: now))
    }
  }
}
