internal import CLinux
public import NetworkTypes

/// A small process that starts this program once more, when the server can no longer do so itself: the server's filter
/// forbids it to start programs.
///
/// It is forked before the server has threads, files or secrets. It has the arguments, the environment, the working
/// folder, the standard streams and the rights of the server's start. It waits for requests of the server and ends with
/// it. The new process is a child of the server, or of the service manager (`Parent`), never of the starter.
public struct Starter: ~Copyable, Sendable {
  private let requests: MessageSocket

  /// The environment variable with the number of the descriptor that connects a started process with the older one.
  public static let variable = "TURNPIKE_HANDOVER"

  /// Forks the starter. Must be called before any thread starts.
  ///
  /// - Parameter inherited: a descriptor that it must not keep open; -1: none.
  public init(closing inherited: Int32 = -1) throws(Errno) {
    let ends = try MessageSocket.pair()
    var before = sigset_t()
    var all = sigset_t()
    unsafe sigfillset(&all)
    // A signal to the process group must not end the starter before the server.
    _ = unsafe pthread_sigmask(SIG_BLOCK, &all, &before)
    defer { _ = unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    let parent = getpid()
    let child: Int32
    do throws(Errno) { child = try retrying { clinux_fork() } } catch {
      for end in [ends.first, ends.second] { _ = FileDescriptor(owning: end) }
      throw error
    }
    if child == 0 {
      _ = clinux_end_with_parent()
      // The environment may have secrets.
      _ = clinux_hide()
      // The parent may have ended before the last call.
      guard getppid() == parent else { _exit(0) }
      if inherited >= 0 { close(inherited) }
      close(ends.first)
      StarterProcess(end: ends.second, mask: before).run()
    }
    _ = FileDescriptor(owning: ends.second)
    requests = MessageSocket(owning: FileDescriptor(owning: ends.first))
    // The kernel forgets ended children, so that nothing needs to wait for them.
    clinux_forget_children()
  }

  /// The process that becomes the parent of a new one.
  public enum Parent: UInt8, Sendable {
    /// The server, which waits for the new process's end.
    case server = 1
    /// The service manager. systemd waits only for its own children: it kills a main process of another parent at once,
    /// without its stop timeout.
    case serviceManager = 2
  }

  /// A process that has been started, and the connection to it.
  public struct Started: ~Copyable {
    /// The new process's number.
    public let process: Int32
    public let connection: MessageSocket

    public consuming func take() -> MessageSocket { connection }
  }

  /// Starts the program once more.
  public func launch(as parent: Parent, until deadline: Instant) throws(Errno) -> Started {
    try requests.send([parent.rawValue], until: deadline)
    guard let answer = try requests.receive(until: deadline), answer.descriptors.count == 1, answer.bytes.count == 5
    else { throw .brokenPipe }
    let process = answer.bytes[1...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return Started(
      process: Int32(bitPattern: process),
      connection: MessageSocket(owning: FileDescriptor(owning: answer.descriptors[0])))
  }

  /// The connection to the older process; nil if no older process has started this one. Removes the variable, so that
  /// no program that this one starts inherits it.
  public static func inherited() -> MessageSocket? {
    guard let text = unsafe getenv(variable).map({ unsafe String(cString: $0) }) else { return nil }
    unsafe unsetenv(variable)
    guard let number = Int32(text), number > 2, clinux_fcntl(number, F_SETFD, FD_CLOEXEC) == 0 else { return nil }
    return MessageSocket(owning: FileDescriptor(owning: number))
  }
}

/// The body of the starter's process.
private struct StarterProcess {
  let end: Int32
  /// The signal mask of the start.
  let mask: sigset_t

  func run() -> Never {
    let requests = MessageSocket(owning: FileDescriptor(owning: end))
    while let message = try? requests.receive(until: .distantFuture), message.bytes.count == 1,
      let parent = Starter.Parent(rawValue: message.bytes[0])
    {
      answer(requests, parent)
    }
    _exit(0)
  }

  private func answer(_ requests: borrowing MessageSocket, _ parent: Starter.Parent) {
    let deadline = Instant.read().advanced(by: .seconds(5))
    guard let ends = try? MessageSocket.pair() else {
      try? requests.send([0], until: deadline)
      return
    }
    let process = parent == .server ? clinux_fork_sibling() : clinux_fork_orphan()
    if process == 0 { execute(ends.second, other: ends.first) }
    close(ends.second)
    if process > 0 {
      let number = UInt32(bitPattern: process)
      let bytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
      try? requests.send([1] + bytes, [ends.first], until: deadline)
    } else {
      try? requests.send([0], until: deadline)
    }
    close(ends.first)
  }

  /// Replaces this process by the program; on an error tells the server.
  private func execute(_ inherited: Int32, other: Int32) -> Never {
    close(other)
    // The process gets a group of its own: the older process forwards signals, which must not arrive twice.
    setpgid(0, 0)
    clinux_default_children()
    _ = clinux_fcntl(inherited, F_SETFD, 0)
    unsafe setenv(Starter.variable, "\(inherited)", 1)
    // systemd's variable names the older process.
    unsafe unsetenv("WATCHDOG_PID")
    var mask = mask
    _ = unsafe pthread_sigmask(SIG_SETMASK, &mask, nil)
    // This is the name of the server's start, not the file behind it, so that a replaced program is found.
    if let name = unsafe CommandLine.unsafeArgv[0] { _ = unsafe execvp(name, CommandLine.unsafeArgv) }
    let error = clinux_errno()
    let connection = MessageSocket(owning: FileDescriptor(owning: inherited))
    let text = "the program cannot be started: \(Errno(rawValue: error))"
    try? connection.send([Starter.failureMark] + Array(text.utf8), until: Instant.read().advanced(by: .seconds(5)))
    _exit(127)
  }
}

extension Starter {
  /// The first byte of a message with the reason why the new process has not started.
  public static let failureMark: UInt8 = 0
}
