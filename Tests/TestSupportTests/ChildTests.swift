import Foundation
import TestSupport
import Testing

/// What every test that starts a program relies on.
@Suite struct ChildTests {
  @Test func `A child gets its input, words and environment, and its end is told`() throws {
    let script = "cat; echo \"$1 $NAME\"; echo wrong >&2; exit 7"
    let run = try Child.run("/bin/sh", ["-c", script, "sh", "a b"], environment: ["NAME": "c"], input: "in\n")
    #expect(run.status == 7 && run.output == "in\na b c\n" && run.errors == "wrong\n")
    #expect(try Child.run("/bin/sh", ["-c", "kill -9 $$"]).status == 128 + SIGKILL)
    let error = #expect(throws: Child.NotStarted.self) { try Child("/nonexistent", []) }
    #expect(error?.code == ENOENT)
  }

  @Test func `More than a pipe holds comes out`() async throws {
    let run = try await Child.runAside("/bin/sh", ["-c", "head -c 1000000 /dev/zero"])
    #expect(run.status == 0 && run.output.utf8.count == 1_000_000)
  }

  @Test func `Many that end at the same time are all seen`() async throws {
    try await withThrowingTaskGroup(of: Int32.self) { group in
      for number in 0..<64 {
        group.addTask { try await Child.runAside("/bin/sh", ["-c", "exit \(number)"]).status }
      }
      var ended: Set<Int32> = []
      for try await status in group { ended.insert(status) }
      #expect(ended == Set(0..<64))
    }
  }

  @Test func `A pipe ends with its child, whoever else is started meanwhile`() throws {
    let pipe = Pipe()
    let writer = try Child("/bin/sh", ["-c", "echo here; read -r line"], input: .pipe(Pipe()), output: .pipe(pipe))
    let other = try Child("/bin/sleep", ["20"])
    #expect(writer.isRunning && other.isRunning)
    #expect(try pipe.fileHandleForReading.read(upToCount: 5) == Data("here\n".utf8))
    writer.kill()
    #expect(try pipe.fileHandleForReading.readToEnd() == nil)
    #expect(writer.wait() == 128 + SIGKILL && !writer.isRunning)
    // Nobody else has its number by now: this goes nowhere.
    writer.send(SIGKILL)
  }

  @Test func `A group ends together, and a value that is gone leaves nothing`() throws {
    let pipe = Pipe()
    let shell = try Child("/bin/sh", ["-c", "sleep 20 & echo $!; wait"], output: .pipe(pipe))
    let line = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
    let grandchild = try #require(pid_t(line.trimmingCharacters(in: .newlines)))
    shell.sendToGroup(SIGKILL)
    // Both held the pipe.
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
