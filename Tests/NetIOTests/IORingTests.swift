import Testing

@testable import NetIO

@Suite("io_uring", .enabled(if: (try? IORing()) != nil, "this kernel, or its rules, have no io_uring for us"))
struct IORingTests {
  /// A thread has sixteen numbers for its rings: one that a ring keeps beyond its end would be missing here, and would
  /// keep the ring itself alive.
  @Test("a ring gives its number back when it ends")
  func entrance() throws {
    for _ in 0..<40 {
      let ring = try IORing()
      let isRegistered = ring.isRegistered
      #expect(isRegistered)
    }
  }
}
