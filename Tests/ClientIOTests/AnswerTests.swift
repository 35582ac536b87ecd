import Foundation
import NetworkTypes
import STUN
import Testing
import TestSupport

/// Tests which messages count as answers to a ping, and their lines.
@Suite("Lines for single answers", .serialized)
struct AnswerTests {
  private func ping(_ options: [String], _ handler: @escaping FakeServer.Handler) throws -> Run {
    let server = try FakeServer(.udp(handler))
    defer { server.stop() }
    return try Run(["ping", "--count", "4", "--interval", "0.01", "--timeout", "5"] + options + ["\(server.address)"])
  }

  private func lines(_ run: Run) throws -> [[String: Any]] {
    try run.output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
    }
  }

  @Test("Ping counts error responses apart: a warning, or a failure if there is no other answer")
  func errorResponses()
    throws
  {
    let counter = Counter()
    let mixed = try lines(
      try ping(["--ndjson"]) { counter.next() > 1 ? respond(to: $0, error: .serverError) : generous($0) })
    #expect(mixed.map { $0["event"] as? String } == ["answer", "refused", "refused", "refused", "result"])
    #expect(mixed[1]["reason"] as? String == "server-error" && mixed[1]["sequence"] as? Int == 2)
    #expect(mixed[4]["status"] as? String == "warning")
    let warnings = try #require(mixed[4]["warnings"] as? [String])
    #expect(warnings.first?.hasPrefix("3 of 4 requests were refused; the last: Binding at ") == true, "\(warnings)")
    let series = try #require(mixed[4]["series"] as? [String: Any])
    #expect(series["received"] as? Int == 1 && series["refused"] as? Int == 3 && series["lost"] as? Int == 0)

    let refused = try ping(["--check"]) { respond(to: $0, error: .serverError) }
    #expect(
      refused.status == 2
        && refused.output.contains(": the server has an internal error (500 Server Error) [server-error]"), "\(refused)"
    )
    let bare = try ping(["--check"]) { respond(to: $0) }
    #expect(bare.status == 2 && bare.output.contains("no XOR-MAPPED-ADDRESS [malformed]"), "\(bare)")
  }

  @Test("Lines of parallel checks stay whole when a pipe accepts only parts of them")
  func wholeLines() throws {
    // The document is larger than a pipe's buffer, because it lists each address of the name.
    var zone = NameServiceTests.Zone()
    for last in 1...29 { zone.address("many.test", [127, 0, 77, UInt8(last)]) }
    zone.address("many.test", [UInt8](repeating: 0, count: 15) + [1])
    let dns = try NameServiceTests().start(zone)
    defer { dns.stop() }
    let urls = [String](repeating: "\"stun:many.test:9\"", count: 48).joined(separator: ",")
    let (input, output) = (Pipe(), Pipe())
    // The pipe is full before the test reads, so that all parallel checks block.
    try output.fileHandleForWriting.write(contentsOf: Data(repeating: UInt8(ascii: "\n"), count: 65_536))
    let child = try Child(
      Run.program.path, ["--ice-servers", "-", "--ndjson", "--dns-server", "\(dns.address)"],
      input: .pipe(input), output: .pipe(output))
    try input.fileHandleForWriting.write(contentsOf: Data("{\"urls\":[\(urls)]}".utf8))
    try input.fileHandleForWriting.close()
    var data = Data()
    while let chunk = try output.fileHandleForReading.read(upToCount: 4096), !chunk.isEmpty { data += chunk }
    #expect(child.wait() == 2)
    let lines = data.split(separator: UInt8(ascii: "\n"))
    let longest = lines.map(\.count).max() ?? 0
    let results = lines.filter { line in
      (try? JSONSerialization.jsonObject(with: line) as? [String: Any])?["event"] as? String == "result"
    }
    #expect(results.count == 48, "\(results.count) of \(lines.count)")
    #expect(longest > 4096, "\(longest)")
    #expect(lines.count >= 49)
    for line in lines { #expect((try? JSONSerialization.jsonObject(with: line)) != nil) }
  }
}
