internal import Foundation
import Synchronization
import System
import Testing

@Suite("Threads")
struct ThreadTests {
  @Test("A thread with lowered priority has nice 19, and the ordinary scheduling policy")
  func lowerPriority() throws {
    // The fields of proc_pid_stat(5) after the name: nice is field 19, the policy field 41.
    let fields = Mutex<[Substring]>([])
    let thread = try System.Thread(name: "low") {
      Thread.lowerPriority()
      let text = (try? String(contentsOfFile: "/proc/thread-self/stat", encoding: .utf8)) ?? ""
      fields.withLock { $0 = text.split(separator: ")").last?.split(separator: " ") ?? [] }
    }
    thread.join()
    let found = fields.withLock { $0 }
    try #require(found.count > 38)
    #expect(found[16] == "19")
    // Not SCHED_IDLE: it would hold the locks of libc and OpenSSL, which other threads need, for seconds.
    #expect(found[38] == "0")
  }
}
