import Foundation
import NetIO
import NetworkTypes
import TLS
import TestSupport
import Testing

@Suite("turnpike doctor", .serialized)
struct DoctorTests {
  private struct Finding: Decodable {
    var area: String
    var verdict: String
    var text: String
    var remedy: String?
  }

  private struct Document: Decodable {
    var verdict: String
    var findings: [Finding]
  }

  private func turnpike(_ folder: TemporaryDirectory, _ words: [String]) async throws -> Child.Result {
    try await Child.runAside(
      RunningServer.program, words, environment: ["TURNPIKE_STATE_DIRECTORY": folder.path("state")])
  }

  /// The findings of a run on loopback ports.
  private func run(
    _ settings: [String], in folder: TemporaryDirectory? = nil
  ) async throws -> (status: Int32, findings: [Finding]) {
    let place = "127.0.0.1:\(PortBlock.doctor[0])"
    let all = ["relay.addresses=127.0.0.1", "listeners=udp://\(place),tcp://\(place)"] + settings
    let result = try await turnpike(
      folder ?? TemporaryDirectory(), ["doctor", "--json"] + all.flatMap { ["--set", $0] })
    let findings = try JSONDecoder().decode(Document.self, from: Data(result.output.utf8)).findings
    let worst = findings.map { ["good": 0, "warning": 1, "failed": 2][$0.verdict] ?? 3 }.max() ?? 3
    #expect(result.status == Int32(worst), "\(result.output)\(result.errors)")
    return (result.status, findings)
  }

  @Test("Every area has a finding, and every finding that is not good has a remedy")
  func areas() async throws {
    let (_, findings) = try await run([])
    let areas = Set(findings.map(\.area))
    for area in [
      "configuration", "descriptors", "socket-buffers", "clock", "relay-address", "port", "relay-ports", "io_uring",
      "udp-offload", "seccomp", "landlock", "store", "firewall",
    ] { #expect(areas.contains(area), "\(area)") }
    for finding in findings { #expect((finding.remedy == nil) == (finding.verdict == "good"), "\(finding)") }
    let firewall = findings.first { $0.area == "firewall" }
    #expect(firewall?.text == "it must let in 49152-65535/udp, 49152-65535/tcp")
  }

  @Test("A port that another process uses fails, and the remedy finds the process")
  func usedPort() async throws {
    let taken = try StreamListener(listeningOn: SocketAddress(.ipv4Loopback, port: PortBlock.doctor[2]))
    let (status, findings) = try await run(
      ["listeners=tcp://127.0.0.1:\(PortBlock.doctor[2])"])
    let port = findings.first { $0.area == "port" }
    #expect(port?.verdict == "failed" && port?.text.contains("\(PortBlock.doctor[2])") == true && status == 2)
    #expect(port?.remedy?.contains("ss -lntup") == true)
    _ = taken.rawValue
  }

  @Test("Beside a running server its ports are good")
  func running() async throws {
    let server = try RunningServer(port: PortBlock.doctor[1])
    let (_, findings) = try await run(["listeners=udp://127.0.0.1:\(server.port),tcp://127.0.0.1:\(server.port)"])
    let port = findings.first { $0.area == "port" }
    #expect(port?.verdict == "good" && port?.text.contains("a STUN server listens there") == true)
  }

  @Test("A damaged store fails, and a missing one is made by the first start")
  func store() async throws {
    let folder = try TemporaryDirectory()
    let missing = try await run([], in: folder).findings.first { $0.area == "store" }
    #expect(missing?.verdict == "good" && missing?.text.contains("first start") == true)
    #expect(try await turnpike(folder, ["user", "add", "alice"]).status == 0)
    let whole = try await run([], in: folder).findings.first { $0.area == "store" }
    #expect(whole?.verdict == "good" && whole?.text.contains("whole") == true)
    try folder.write("no database, but long enough for one\n", to: "state/turnpike.db")
    let damaged = try await run([], in: folder).findings.filter { $0.verdict == "failed" }
    #expect(damaged.contains { $0.area == "store" })
  }

  @Test("A private relay address is a warning that names relay.advertise; an advertised one is good")
  func addresses() async throws {
    let hidden = try await run(["relay.addresses=10.1.2.3"]).findings.first {
      $0.area == "relay-address"
    }
    #expect(hidden?.verdict == "warning" && hidden?.remedy?.contains("relay.advertise: auto, or { 10.1.2.3:") == true)
    let advertised = try await run(
      ["relay.addresses=10.1.2.3", "relay.advertise=10.1.2.3=198.51.100.200"]
    ).findings.first { $0.area == "relay-address" }
    #expect(advertised?.text.contains("told to clients as 198.51.100.200") == true)
  }

  @Test("A certificate has its days and names; an expired one fails, one that expires soon or has no name warns")
  func certificate() async throws {
    let folder = try TemporaryDirectory()
    let now = UnixTime(seconds: Int64(Date().timeIntervalSince1970))
    func days(_ count: Int64) -> UnixTime { now.advanced(by: .seconds(count * 86_400)) }
    for (made, names, verdict, text) in [
      (now, ["turn.example.org"], "good", "days left, for turn.example.org"),
      (now, [], "warning", "has no DNS name"),
      (days(-3654), ["turn.example.org"], "failed", "expired"),
      (days(-3647), ["turn.example.org"], "warning", "expires in "),
    ] {
      let pair = try SelfSignedCertificate(commonName: "turn", hostNames: names, addresses: [], now: made)
      let files = [try folder.write(pair.certificate, to: "chain.pem"), try folder.write(pair.key, to: "key.pem")]
      let findings = try await run(
        [
          "listeners=tls://127.0.0.1:\(PortBlock.doctor[4])", "tls.certificate=\(files[0])",
          "tls.private-key=\(files[1])",
        ], in: folder
      ).findings.filter { $0.area == "certificate" }
      #expect(findings.count == 1 && findings.first?.verdict == verdict, "\(findings)")
      #expect(findings.first?.text.contains(text) == true, "\(findings)")
    }
  }

  @Test("A wrong configuration is a failed finding with its line")
  func wrongConfiguration() async throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("realm: [a]\n", to: "turnpike.yml")
    let result = try await turnpike(folder, ["doctor", "--config", file])
    #expect(result.status == 2)
    #expect(result.output.contains("failed") && result.output.contains("turnpike.yml:1"))
  }

  @Test("On a terminal or in a pipe, the text names each area, and the last line counts the findings")
  func text() async throws {
    let listener = "listeners=udp://127.0.0.1:\(PortBlock.doctor[3])"
    let words = ["doctor", "--set", listener, "--set", "relay.addresses=127.0.0.1"]
    let result = try await turnpike(TemporaryDirectory(), words)
    #expect(result.output.contains("firewall"))
    #expect(result.output.split(separator: "\n").last?.contains(" good, ") == true)
  }
}
