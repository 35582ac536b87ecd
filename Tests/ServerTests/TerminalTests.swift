import Foundation
import Testing
import TestSupport

/// Tests the output of a first start on a terminal, which script(1) provides.
@Suite("The first start on a terminal", .serialized)
struct TerminalTests {
  @Test(
    "A first start explains the JSON line and how to try it", .tags(.slow),
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script")))
  func explained() throws {
    let place = "127.0.0.1:\(PortBlock.terminal[0])"
    let directory = try TemporaryDirectory()
    let output = Pipe()
    let command =
      "\(RunningServer.program) --set state-directory=\(directory.path("state")) --set drain-timeout=0s "
      + "--set listeners=udp://\(place),tls://127.0.0.1:\(PortBlock.terminal[0] + 1) --set relay.addresses=127.0.0.1"
    let child = try Child("/usr/bin/script", ["-qec", command, "/dev/null"], output: .pipe(output))
    var seen = Data()
    var isReady = false
    while case let more = output.fileHandleForReading.availableData, !more.isEmpty {
      seen += more
      // Separate threads write the log and standard output, so their order varies. script(1) forwards the signal and
      // ends at once, so later output is lost. SIGKILL would leave the server running.
      let text = String(decoding: seen, as: UTF8.self)
      guard !isReady, text.contains(" ready "), text.contains("transport=udp'\r\n") else { continue }
      isReady = true
      child.send(SIGTERM)
    }
    child.wait()
    let lines = String(decoding: seen, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
    let start = try #require(lines.firstIndex { $0.hasPrefix("Paste this into your page") })
    let json = try #require(lines.dropFirst(start + 1).first)
    let document = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
    let entry = try #require((document?["iceServers"] as? [[String: Any]])?.first)
    #expect(entry["urls"] as? [String] == ["stun:\(place)", "turn:\(place)?transport=udp"])
    let password = try #require(entry["credential"] as? String)
    let program = RunningServer.program.dropLast("turnpike".count) + "stunclient"
    #expect(
      lines.dropFirst(start + 2).first
        == "Try it: STUNCLIENT_USERNAME=turnpike STUNCLIENT_PASSWORD=\(password) \(program) 'turn:\(place)?transport=udp'"
    )
  }
}
