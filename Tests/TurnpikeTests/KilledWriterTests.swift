internal import Credentials
internal import CredentialsSQLite
internal import Foundation
internal import TestSupport
internal import Testing

@Suite("A writer that is killed")
struct KilledWriterTests {
  /// Three loops add users as fast as they can and report each one that the program said it had stored; all of it is
  /// killed in the middle. The moment of the kill is what varies: whatever was being done then, opening, committing
  /// or cleaning up, must not cost a user.
  @Test("loses no user that was reported as stored", arguments: 0..<4)
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
    var received = Data()
    var isKilled = false
    // Ends when every writer is dead and the pipe is empty.
    for await data in chunks(of: reports.fileHandleForReading) {
      received += data
      if !isKilled, lines(received).count >= 15 + 7 * round {
        isKilled = true
        shell.sendToGroup(SIGKILL)
      }
    }
    #expect(isKilled)
    let store = try SQLiteCredentialStore(path: program.directory.path("state/turnpike.db"))
    let stored = Set(try store.users(realm: "turnpike").map(\.name))
    #expect(Set(lines(received)).subtracting(stored).isEmpty)
    // And it can be written again.
    let added = try await program.run("user", "add", "survivor")
    #expect(added.status == 0)
  }

  /// Whole lines only: a writer may have been killed in the middle of one.
  private func lines(_ data: Data) -> [String] {
    guard let end = data.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
    return data[..<end].split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
  }

  private func chunks(of handle: FileHandle) -> AsyncStream<Data> {
    AsyncStream { continuation in
      // A thread that reads, rather than a handler that is told: nothing can be missed.
      Thread.detachNewThread {
        while case let data = handle.availableData, !data.isEmpty { continuation.yield(data) }
        continuation.finish()
      }
    }
  }
}
