import Foundation
import Testing
import TestSupport

/// Tests the class on which every test that starts a program relies.
@Suite("Child processes")
struct ChildTests {
  @Test("A child gets its input, arguments and environment, and its exit status is known")
  func child() throws {
    let script = "cat; echo \"$1 $NAME\"; echo wrong >&2; exit 7"
    let run = try Child.run("/bin/sh", ["-c", script, "sh", "a b"], environment: ["NAME": "c"], input: "in\n")
    #expect(run.status == 7 && run.output == "in\na b c\n" && run.errors == "wrong\n")
    #expect(try Child.run("/bin/sh", ["-c", "kill -9 $$"]).status == 128 + SIGKILL)
    let error = #expect(throws: Child.NotStarted.self) { try Child("/nonexistent", []) }
    #expect(error?.code == ENOENT)
  }

  @Test("Output longer than a pipe's buffer is read whole")
  func longOutput() async throws {
    let run = try await Child.runAside("/bin/sh", ["-c", "head -c 1000000 /dev/zero"])
    #expect(run.status == 0 && run.output.utf8.count == 1_000_000)
  }

  @Test("Children that end at the same time all report their exit")
  func manyChildren() async throws {
    try await withThrowingTaskGroup(of: Int32.self) { group in
      for number in 0..<64 {
        group.addTask { try await Child.runAside("/bin/sh", ["-c", "exit \(number)"]).status }
      }
      var ended: Set<Int32> = []
      for try await status in group { ended.insert(status) }
      #expect(ended == Set(0..<64))
    }
  }

  @Test("A pipe ends with its child, although other children start meanwhile")
  func pipe() throws {
    let pipe = Pipe()
    let writer = try Child("/bin/sh", ["-c", "echo here; read -r line"], input: .pipe(Pipe()), output: .pipe(pipe))
    let other = try Child("/bin/sleep", ["20"])
    #expect(writer.isRunning && other.isRunning)
    #expect(try pipe.fileHandleForReading.read(upToCount: 5) == Data("here\n".utf8))
    writer.kill()
    #expect(try pipe.fileHandleForReading.readToEnd() == nil)
    #expect(writer.wait() == 128 + SIGKILL && !writer.isRunning)
    // The process has been reaped, so the signal is not sent.
    writer.send(SIGKILL)
  }

  @Test("A process group ends together, and deinit leaves no process")
  func group() throws {
    let pipe = Pipe()
    let shell = try Child("/bin/sh", ["-c", "sleep 20 & echo $!; wait"], output: .pipe(pipe))
    let line = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
    let grandchild = try #require(pid_t(line.trimmingCharacters(in: .newlines)))
    shell.sendToGroup(SIGKILL)
    // Both processes had the pipe open.
    #expect(try pipe.fileHandleForReading.readToEnd() == nil)
    #expect(getpgid(grandchild) == -1 || !FileManager.default.fileExists(atPath: "/proc/\(grandchild)/exe"))
    var identifier: pid_t = 0
    do {
      let forgotten = try Child("/bin/sleep", ["20"])
      identifier = forgotten.identifier
    }
    #expect(kill(identifier, 0) == -1 && errno == ESRCH)
  }
}
