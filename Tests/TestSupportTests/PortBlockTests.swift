import Testing
import TestSupport

/// Tests that suites which run at the same time cannot take each other's ports.
@Suite("Ports of suites")
struct PortBlockTests {
  @Test("No two blocks overlap, and all lie below the ports that Linux chooses")
  func apart() {
    let sorted = PortBlock.all.sorted { $0.ports.lowerBound < $1.ports.lowerBound }
    for (first, second) in zip(sorted, sorted.dropFirst()) {
      #expect(first.ports.upperBound <= second.ports.lowerBound, "\(first.name) and \(second.name)")
    }
    for block in sorted { #expect(block.ports.lowerBound >= 1024 && block.ports.upperBound <= 32_768, "\(block.name)") }
  }
}
