import Foundation
import Hardening
import NetworkTypes
import Synchronization
import System
import TestSupport
import Testing

@Suite("Capabilities, file fence and system call filter")
struct HardeningTests {
  /// Runs a body on a new thread, so that its restrictions end with the thread.
  private func onThread<Result: Sendable>(
    _ name: String = "confined", _ body: @escaping @Sendable () -> Result
  ) throws -> Result {
    let result = Mutex<Result?>(nil)
    let box = Shared(result: result)
    try Thread(name: name) { box.result.withLock { $0 = body() } }.join()
    return try #require(box.result.withLock { $0 })
  }

  private final class Shared<Result: Sendable>: Sendable {
    let result: Mutex<Result?>
    init(result: consuming sending Mutex<Result?>) { self.result = result }
  }

  @Test("A thread loses the dropped capabilities; other threads keep theirs")
  func capabilities() throws {
    let before = Capabilities.ofThread
    let after = try onThread {
      try? Capabilities.keep([.readAnyFile])
      return Capabilities.ofThread
    }
    #expect(after == before.intersection(.readAnyFile))
    #expect(Capabilities.ofThread == before)
    let last = try onThread {
      try? Capabilities.keep([])
      try? Capabilities.keep([.readAnyFile])
      return Capabilities.ofThread
    }
    #expect(last == [])
  }

  @Test("A thread with more capabilities than the others is named", .enabled(if: geteuid() == 0))
  func threads() throws {
    // Other tests have threads with capabilities at the same time.
    let names = try onThread("without") {
      try? Capabilities.keep([])
      return Capabilities.threads(with: [])
    }
    // The other threads still have capabilities.
    #expect(!names.isEmpty)
    #expect(!names.contains("without"))
  }

  @Test("Files of root need no capability, files of another user need one", .enabled(if: geteuid() == 0))
  func needed() throws {
    let folder = try TemporaryDirectory()
    try folder.write("x", to: "own")
    try folder.write("x", to: "other")
    try FileManager.default.createDirectory(atPath: folder.path("state"), withIntermediateDirectories: false)
    for name in ["own", "other", "state"] {
      try FileManager.default.setAttributes(
        [.posixPermissions: name == "state" ? 0o700 : 0o600], ofItemAtPath: folder.path(name))
    }
    for name in ["other", "state"] {
      try FileManager.default.setAttributes([.ownerAccountID: 3478], ofItemAtPath: folder.path(name))
    }
    let before = Capabilities.ofThread
    #expect(Capabilities.needed(reading: [folder.path("own")], writing: [folder.path("")]) == [])
    #expect(Capabilities.needed(reading: [folder.path("other")], writing: []) == .readAnyFile)
    #expect(
      Capabilities.needed(reading: [], writing: [folder.path("state")]) == [.overrideFileModes, .changeOwner])
    #expect(Capabilities.needed(reading: ["/nowhere"], writing: ["/nowhere"]) == [])
    #expect(Capabilities.ofThread == before)
  }

  @Test(
    "Inside the fence only its files open, also one that is renamed into place",
    .enabled(if: FileFence.version > 0))
  func fence() throws {
    let folder = try TemporaryDirectory()
    for name in ["read", "write", "outside"] {
      try FileManager.default.createDirectory(atPath: folder.path(name), withIntermediateDirectories: false)
      try folder.write("x", to: "\(name)/file")
    }
    let fence = FileFence(readable: [folder.path("read"), "/nowhere"], writable: [folder.path("write")])
    let path = { @Sendable (name: String) in folder.path(name) }
    let found = try onThread {
      try? ProcessLocks.forbidNewPrivileges()
      try? fence.restrict()
      var found: [String: Bool] = [:]
      func attempt(_ what: String, _ body: () throws -> Void) { found[what] = (try? body()) != nil }
      attempt("read") { _ = try Files.read(path("read/file")) }
      attempt("read outside") { _ = try Files.read(path("outside/file")) }
      attempt("write") { try Files.writeAtomically([1], to: path("write/file")) }
      attempt("write what is readable") { try Files.writeAtomically([1], to: path("read/file")) }
      attempt("write outside") { try Files.writeAtomically([1], to: path("outside/file")) }
      return found
    }
    #expect(
      found == [
        "read": true, "read outside": false, "write": true, "write what is readable": false, "write outside": false,
      ])
    // Other threads are not restricted.
    #expect(try Files.read(folder.path("outside/file")) == [UInt8(ascii: "x")])
  }

  @Test("Under the filter the program continues, new threads and unknown calls fail, and changing the user is fatal")
  func filter() async {
    await #expect(processExitsWith: .success) {
      try SystemCallFilter.load()
      _ = try Files.read("/proc/self/status", limit: .kibibytes(64))
      precondition((try? Thread(name: "later") {}) == nil)
      // sethostname(2) is in neither list.
      let status = unsafe sethostname("x", 1)
      precondition(status == -1 && errno == ENOSYS)
    }
    await #expect(processExitsWith: .signal(SIGSYS)) {
      try SystemCallFilter.load()
      _ = setuid(getuid())
    }
  }

  @Test("Without core dumps /proc/self belongs to root, and the size limit is 0")
  func coreDumps() async {
    await #expect(processExitsWith: .success) {
      try ProcessLocks.forbidCoreDumps()
      let limits = String(decoding: try Files.read("/proc/self/limits", limit: .kibibytes(64)), as: UTF8.self)
      let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
      precondition(core?.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
    }
  }
}
