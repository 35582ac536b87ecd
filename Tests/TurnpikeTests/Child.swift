internal import Foundation

/// A child process of a test, from its start to its end, by the system's own calls: under load Foundation's `Process`
/// has been seen to miss the end of a child, and a test that waits for it never ends.
enum Child {
  struct NotStarted: Error {
    var code: Int32
  }

  /// Runs a program to its end, its standard streams from and to files; the exit status, or 128 and the signal.
  static func run(
    _ program: URL, _ arguments: [String], environment: [String: String], input: String, output: String, errors: String
  ) async throws -> Int32 {
    let identifier = try start(
      program, arguments, environment: environment, input: input, output: output, errors: errors)
    return await withCheckedContinuation { continuation in
      Thread.detachNewThread { continuation.resume(returning: wait(for: identifier)) }
    }
  }

  private static func start(
    _ program: URL, _ arguments: [String], environment: [String: String], input: String, output: String, errors: String
  ) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    let words = unsafe ([program.path] + arguments).map { unsafe strdup($0) } + [nil]
    let variables = unsafe environment.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for unsafe text in unsafe words + variables { unsafe free(text) } }
    var identifier: pid_t = 0
    let code = unsafe posix_spawn(&identifier, program.path, &actions, nil, words, variables)
    guard code == 0 else { throw NotStarted(code: code) }
    return identifier
  }

  private static func wait(for identifier: pid_t) -> Int32 {
    var status: Int32 = 0
    while unsafe waitpid(identifier, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7F
    return signal == 0 ? status >> 8 & 0xFF : 128 + signal
  }
}
