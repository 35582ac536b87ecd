import Testing

@testable import WebServer

@Suite("The number of HTTP connections")
struct ConnectionUsageTests {
  @Test("The end of most of many connections is reported once, and that of a few connections never")
  func falling() {
    let usage = ConnectionUsage()
    for _ in 0..<(ConnectionUsage.worthwhile - 1) { usage.begin() }
    for _ in 0..<(ConnectionUsage.worthwhile - 1) { usage.end() }
    #expect(!usage.hasFallen())
    for _ in 0..<100 { usage.begin() }
    for _ in 0..<50 { usage.end() }
    #expect(!usage.hasFallen())
    usage.end()
    #expect(usage.hasFallen() && !usage.hasFallen())
    for _ in 0..<49 { usage.end() }
    // The last 49 of the 100 connections have ended.
    #expect(usage.hasFallen() && !usage.hasFallen())
  }
}
