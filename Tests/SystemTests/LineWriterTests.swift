internal import Foundation
internal import Synchronization
internal import Testing

@testable internal import System

@Suite("Lines to a descriptor that may block")
struct LineWriterTests {
  /// Reads `count` bytes, or fewer at the end.
  private func read(_ handle: FileHandle, _ count: Int) throws -> String {
    String(decoding: try handle.read(upToCount: count) ?? Data(), as: UTF8.self)
  }

  /// Waits for the writer's thread, which uses descriptors of `pipes`. If a pipe were released earlier, the thread
  /// could write to a descriptor that another test has opened with the same number.
  private func end(_ writer: LineWriter, _ pipes: Pipe...) {
    writer.finish(within: .seconds(60))
    withExtendedLifetime(pipes) {}
  }

  @Test("Lines arrive whole and in order, and finish waits for them")
  func order() throws {
    let pipe = Pipe()
    let writer = try LineWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
    try writer.start()
    let lines = (0..<500).map { "line \($0)\n" }
    for line in lines { #expect(writer.write(line)) }
    writer.finish(within: .seconds(60))
    try pipe.fileHandleForWriting.close()
    #expect(try read(pipe.fileHandleForReading, 1 << 20) == lines.joined())
    #expect(!writer.write("too late\n"))
  }

  @Test(
    "While the reader is stopped, lines beyond the limit are lost at once; the writer learns when there is room")
  func stoppedReader() throws {
    let pipe = Pipe()
    let writer = try LineWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
    let caughtUp = try Mailbox<Void>(capacity: 1)
    try writer.start(caughtUp: { caughtUp.post(()) })
    let line = String(repeating: "x", count: 1023) + "\n"
    // The kernel's pipe accepts some lines; the writer then keeps at most `byteLimit` bytes of further lines.
    var taken = 0
    while writer.write(line) {
      taken += 1
      try #require(taken < 10_000)
    }
    #expect(taken * line.utf8.count >= LineWriter.byteLimit)
    #expect(taken * line.utf8.count <= LineWriter.byteLimit + (1 << 20))
    #expect(try read(pipe.fileHandleForReading, taken * line.utf8.count).utf8.count == taken * line.utf8.count)
    caughtUp.wait(for: .seconds(60))
    #expect(!caughtUp.takeAll().isEmpty)
    #expect(writer.write("again\n"))
    #expect(try read(pipe.fileHandleForReading, 6) == "again\n")
    end(writer, pipe)
  }

  @Test("A full non-blocking descriptor loses no accepted line")
  func nonBlocking() throws {
    let pipe = Pipe()
    let descriptor = pipe.fileHandleForWriting.fileDescriptor
    #expect(fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) == 0)
    let failures = try Mailbox<Errno>(capacity: 16)
    let writer = try LineWriter(descriptor: descriptor)
    try writer.start(failed: { error, _ in failures.post(error) })
    // Several times the capacity of a pipe.
    let lines = (0..<4000).map { "\($0) " + String(repeating: "x", count: 100) + "\n" }
    for line in lines { #expect(writer.write(line)) }
    let expected = lines.joined()
    var seen = Data()
    while seen.count < expected.utf8.count, failures.takeAll().isEmpty {
      var interest = pollfd(fd: pipe.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&interest, 1, 10_000) > 0 else { break }
      seen += pipe.fileHandleForReading.availableData
    }
    #expect(String(decoding: seen, as: UTF8.self) == expected)
    end(writer, pipe)
  }

  @Test("A stopped reader does not delay the end")
  func finishWithoutReader() throws {
    let pipe = Pipe()
    let writer = try LineWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor)
    try writer.start()
    while writer.write(String(repeating: "x", count: 65_535) + "\n") {}
    let clock = ContinuousClock()
    #expect(clock.measure { writer.finish() } < .seconds(30))
    // The thread is still writing to this descriptor. Without a reader its write ends with an error.
    try pipe.fileHandleForReading.close()
    end(writer, pipe)
  }

  @Test("A failed write is reported with the number of lines, and the next successful write ends the failure")
  func failure() throws {
    let pipe = Pipe()
    let writer = try LineWriter(descriptor: pipe.fileHandleForReading.fileDescriptor)
    let failures = try Mailbox<Int>(capacity: 16)
    let caughtUp = try Mailbox<Void>(capacity: 1)
    try writer.start(caughtUp: { caughtUp.post(()) }, failed: { failures.post($1) })
    // One thread reports both failures in order, so the work after the first failure is done when the second is
    // reported.
    for _ in 0..<2 {
      #expect(writer.write("nowhere\n"))
      failures.wait(for: .seconds(60))
      #expect(failures.takeAll() == [1])
    }
    #expect(caughtUp.takeAll().isEmpty)
    // The descriptor becomes writable, so the loss can be reported.
    let second = Pipe()
    #expect(dup2(second.fileHandleForWriting.fileDescriptor, pipe.fileHandleForReading.fileDescriptor) >= 0)
    #expect(writer.write("somewhere\n"))
    #expect(try read(second.fileHandleForReading, 10) == "somewhere\n")
    caughtUp.wait(for: .seconds(60))
    #expect(!caughtUp.takeAll().isEmpty)
    end(writer, pipe, second)
  }
}
