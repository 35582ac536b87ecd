import Testing

@testable import NetIO

@Suite("io_uring", .enabled(if: (try? IORing()) != nil, "the kernel does not have io_uring, or refuses it"))
struct IORingTests {
  /// A thread has 16 registered indices. If a ring kept its index after its end, the indices would run out here, and
  /// the kernel would keep the ring alive.
  @Test("A ring releases its registered index when it ends")
  func registeredIndex() throws {
    for _ in 0..<40 {
      let ring = try IORing()
      let isRegistered = ring.isRegistered
      #expect(isRegistered)
    }
  }
}
