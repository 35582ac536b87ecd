internal import Credentials
internal import CredentialsSQLite
internal import Foundation
internal import Testing
internal import TestSupport

@Suite("A writer that is killed")
struct KilledWriterTests {
  /// Three loops add users as fast as possible and report each one that the program has stored. Then all processes are
  /// killed, at a moment that varies: during opening, a commit or clean-up. No reported user may be lost.
  @Test("No user that was reported as stored is lost", arguments: 0..<4)
  func killedWriters(round: Int) async throws {
    let program = try Program()
    let reports = Pipe()
    let script = """
      for writer in 1 2 3; do
        ( n=0; while :; do n=$((n+1)); "$0" user add "$writer-$n" >/dev/null && echo "$writer-$n"; done ) &
      done
      wait
      """
    let shell = try Child(
      "/bin/sh", ["-c", script, Program.path], environment: program.environment, output: .pipe(reports))
    let (received, isKilled) = await read(reports.fileHandleForReading, killing: shell, after: 15 + 7 * round)
    #expect(isKilled)
    let store = try SQLiteCredentialStore(path: program.directory.path("state/turnpike.db"))
    let stored = Set(try store.users(realm: "turnpike").map(\.name))
    #expect(Set(lines(received)).subtracting(stored).isEmpty)
    // The store is still writable.
    let added = try await program.run("user", "add", "survivor")
    #expect(added.status == 0)
  }

  /// The complete lines: a writer may have been killed in the middle of one.
  private func lines(_ data: Data) -> [String] {
    guard let end = data.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
    return data[..<end].split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Reads until every writer is dead and the pipe is empty, and kills the writers after `count` lines.
  ///
  /// It has a thread of its own: other tests may block all threads of the pool, and meanwhile the writers would go on.
  private func read(
    _ handle: FileHandle, killing shell: Child, after count: Int
  ) async -> (received: Data, isKilled: Bool) {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        var received = Data()
        var isKilled = false
        while case let data = handle.availableData, !data.isEmpty {
          received += data
          if !isKilled, lines(received).count >= count {
            isKilled = true
            shell.sendToGroup(SIGKILL)
          }
        }
        continuation.resume(returning: (received, isKilled))
      }
    }
  }
}
