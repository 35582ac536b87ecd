public import Foundation
internal import Glibc
internal import Synchronization

/// A child process of a test, ended with this value at the latest.
///
/// By the system's own calls: under load Foundation's `Process` has been seen to miss the end of a child, and a test that
/// waits for it never ends.
public final class Child: Sendable {
  public struct NotStarted: Error {
    public var program: String
    /// The system's error.
    public var code: Int32
  }

  /// Where the child reads from, or writes to.
  public enum Stream {
    case null
    /// Its end that this process does not need is closed here.
    case pipe(Pipe)
    case scratch(ScratchFile)
  }

  public let identifier: pid_t
  /// Nil until the end has been seen; from then on the number may be somebody else's.
  private let status = Mutex<Int32?>(nil)
  /// They close when they are forgotten, and the child would notice.
  private let pipes: [Pipe]

  /// Starts a program, as leader of a process group of its own, with these three streams and no other descriptor.
  ///
  /// - Parameter environment: nil: this process's.
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
    // Else this child would keep the pipes of others open.
    unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    let variables = unsafe (environment ?? ProcessInfo.processInfo.environment).map {
      unsafe strdup("\($0.key)=\($0.value)")
    } + [nil]
    defer { for unsafe text in unsafe words + variables { unsafe free(text) } }
    var identifier: pid_t = 0
    let code = unsafe posix_spawn(&identifier, program, &actions, &attributes, words, variables)
    guard code == 0 else { throw NotStarted(program: program, code: code) }
    self.identifier = identifier
    if case .pipe(let pipe) = input { try? pipe.fileHandleForReading.close() }
    for case .pipe(let pipe) in [output, errors] { try? pipe.fileHandleForWriting.close() }
    pipes = [input, output, errors].compactMap { if case .pipe(let pipe) = $0 { pipe } else { nil } }
  }

  deinit { kill() }

  /// Waits for its end; the exit status, or 128 and the signal.
  @discardableResult
  public func wait() -> Int32 {
    // It is only looked at here, and taken away under the lock: nobody signals a number that is free again.
    var information = unsafe siginfo_t()
    while unsafe waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    return take(WNOHANG) ?? -1
  }

  /// The same without blocking the thread of a test.
  public func ended() async -> Int32 {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread { continuation.resume(returning: self.wait()) }
    }
  }

  public var isRunning: Bool { take(WNOHANG) == nil }

  public func send(_ signal: Int32) { deliver(signal, to: identifier) }

  /// To the child and all that it has started.
  public func sendToGroup(_ signal: Int32) { deliver(signal, to: -identifier) }

  /// Ends it at once, if it hasn't ended.
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
    /// The exit status, or 128 and the signal.
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

  /// The same without blocking the thread of a test.
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

/// A file without a name: unlike a pipe it takes all that a child writes, whether or not somebody reads.
public final class ScratchFile: Sendable {
  let descriptor: Int32

  /// Where a child starts to read: at the beginning of `text`.
  public init(_ text: String = "") throws {
    var name = Array("\(NSTemporaryDirectory())/turnpike-scratch-XXXXXX\0".utf8CString)
    descriptor = unsafe mkostemp(&name, O_CLOEXEC)
    guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
    unsafe unlink(name)
    try FileHandle(fileDescriptor: descriptor).write(contentsOf: Data(text.utf8))
    lseek(descriptor, 0, SEEK_SET)
  }

  deinit { close(descriptor) }

  /// All of it.
  public var text: String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = unsafe pread(descriptor, &chunk, chunk.count, bytes.count), count > 0 {
      bytes += chunk.prefix(count)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
