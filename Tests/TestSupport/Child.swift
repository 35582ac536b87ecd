public import Foundation
internal import CLinux
internal import Glibc
internal import Synchronization

/// A child process of a test. It is killed at the latest when this value is released.
///
/// It uses system calls, because Foundation's `Process` sometimes misses the end of a child under load, and a test that
/// waits for the child then never ends.
public final class Child: Sendable {
  public struct NotStarted: Error {
    public var program: String
    /// The system's error.
    public var code: Int32
  }

  /// The source or target of a child's standard stream.
  public enum Stream {
    case null
    /// The child's end is closed in this process.
    case pipe(Pipe)
    case scratch(ScratchFile)
  }

  public let identifier: Int32
  /// Nil until the process has been reaped; afterwards another process may get its number.
  private let status = Mutex<Int32?>(nil)
  /// The child's pipes. They would close if they were released.
  private let pipes: [Pipe]

  /// Starts a program as leader of a new process group, with these three streams and no other descriptors.
  ///
  /// - Parameter environment: nil for this process's environment. The options of a sanitizer are added.
  public init(
    _ program: String, _ arguments: [String], environment: [String: String]? = nil, input: Stream = .null,
    output: Stream = .null, errors: Stream = .null
  ) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    for (number, stream) in [input, output, errors].enumerated() {
      switch stream {
      case .null: unsafe posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", O_RDWR, 0)
      case .pipe(let pipe):
        let end = number == 0 ? pipe.fileHandleForReading : pipe.fileHandleForWriting
        unsafe posix_spawn_file_actions_adddup2(&actions, end.fileDescriptor, Int32(number))
      case .scratch(let file):
        unsafe posix_spawn_file_actions_adddup2(&actions, file.descriptor, Int32(number))
      }
    }
    // Otherwise this child would keep the pipes of other children open.
    unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    let all = Sanitizer.options.merging(environment ?? ProcessInfo.processInfo.environment) { $1 }
    let variables = unsafe all.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
    defer { unsafe (words + variables).forEach { unsafe free($0) } }
    var identifier: pid_t = 0
    let code = unsafe posix_spawn(&identifier, program, &actions, &attributes, words, variables)
    guard code == 0 else { throw NotStarted(program: program, code: code) }
    self.identifier = identifier
    if case .pipe(let pipe) = input { try? pipe.fileHandleForReading.close() }
    for case .pipe(let pipe) in [output, errors] { try? pipe.fileHandleForWriting.close() }
    pipes = [input, output, errors].compactMap { if case .pipe(let pipe) = $0 { pipe } else { nil } }
  }

  deinit { kill() }

  /// Waits for the child's end. Returns the exit status, or 128 + signal.
  @discardableResult
  public func wait() -> Int32 {
    // This only waits. The process is reaped under the lock, so that no signal is sent to a reused process number.
    var information = unsafe siginfo_t()
    while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    return take(WNOHANG) ?? -1
  }

  /// Like `wait`, without blocking the thread of a test.
  public func ended() async -> Int32 {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread { continuation.resume(returning: self.wait()) }
    }
  }

  public var isRunning: Bool { take(WNOHANG) == nil }

  public func send(_ signal: Int32) { deliver(signal, to: identifier) }

  /// Sends a signal to the child and all processes that it has started.
  public func sendToGroup(_ signal: Int32) { deliver(signal, to: -identifier) }

  /// Kills the child unless it has ended.
  public func kill() {
    send(SIGKILL)
    wait()
  }

  private func deliver(_ signal: Int32, to target: pid_t) {
    status.withLock { if $0 == nil { _ = Glibc.kill(target, signal) } }
  }

  private func take(_ options: Int32) -> Int32? {
    status.withLock { known in
      var word: Int32 = 0
      if known == nil, unsafe waitpid(identifier, &word, options) == identifier {
        let signal = word & 0x7F
        known = signal == 0 ? word >> 8 & 0xFF : 128 + signal
      }
      return known
    }
  }
}

extension Child {
  /// A child that has ended.
  public struct Result: Sendable {
    /// The exit status, or 128 + signal.
    public var status: Int32
    public var output: String
    public var errors: String
  }

  /// Runs a program to its end.
  public static func run(
    _ program: String, _ arguments: [String], environment: [String: String]? = nil, input: String = ""
  ) throws -> Result {
    let run = try Run(program, arguments, environment, input)
    return run.result(run.child.wait())
  }

  /// Like `run`, without blocking the thread of a test.
  public static func runAside(
    _ program: String, _ arguments: [String], environment: [String: String]? = nil, input: String = ""
  ) async throws -> Result {
    let run = try Run(program, arguments, environment, input)
    return run.result(await run.child.ended())
  }

  private struct Run {
    let child: Child
    let output: ScratchFile
    let errors: ScratchFile

    init(_ program: String, _ arguments: [String], _ environment: [String: String]?, _ input: String) throws {
      output = try ScratchFile()
      errors = try ScratchFile()
      child = try Child(
        program, arguments, environment: environment, input: .scratch(try ScratchFile(input)),
        output: .scratch(output), errors: .scratch(errors))
    }

    func result(_ status: Int32) -> Result { Result(status: status, output: output.text, errors: errors.text) }
  }
}

/// A file without a name. Unlike a pipe it stores everything that a child writes even without a reader.
public final class ScratchFile: Sendable {
  let descriptor: Int32

  /// A file with `text`, positioned at its start.
  public init(_ text: String = "") throws {
    var name = Array("\(NSTemporaryDirectory())/turnpike-scratch-XXXXXX\0".utf8CString)
    descriptor = unsafe mkostemp(&name, O_CLOEXEC)
    guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
    unsafe unlink(name)
    try FileHandle(fileDescriptor: descriptor).write(contentsOf: Data(text.utf8))
    lseek(descriptor, 0, SEEK_SET)
  }

  deinit { close(descriptor) }

  /// The whole content.
  public var text: String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = unsafe pread(descriptor, &chunk, chunk.count, bytes.count), count > 0 {
      bytes += chunk.prefix(count)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
