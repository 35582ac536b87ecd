import Crypto
import NetworkTypes
import STUN
import Synchronization
import TestSupport
import Testing
import TURNClient

@testable import ClientIO

/// What counts as a server's answer to a security check.
@Suite("Verdicts of the security check", .serialized)
struct SecurityVerdictTests {
  static let key = LongTermKey.md5(
    username: ReasonTests.credential.username, realm: Array("example.org".utf8),
    password: ReasonTests.credential.password)

  private func run(_ server: FakeServer) -> SecurityReport {
    SecurityCheck.run(
      server.target, ReasonTests.options { $0.credential = ReasonTests.credential },
      generator: SeededGenerator(seed: [7]))
  }

  @Test(
    "A refusal of Allocate without credentials does not end the other checks", .tags(.slow),
    arguments: [
      (ErrorCode.forbidden, SecurityReport.Verdict.refused, "403 Forbidden"),
      (.badRequest, .refused, "400 Bad Request"), (.allocationQuotaReached, .unknown, "486 Allocation Quota Reached"),
      (nil, .unknown, "Allocate: the Allocate response has no XOR-RELAYED-ADDRESS"),
    ] as [(ErrorCode?, SecurityReport.Verdict, String)])
  func anonymous(code: ErrorCode?, verdict: SecurityReport.Verdict, detail: String) throws {
    let counter = Counter()
    let server = try FakeServer(
      .udp { request in
        guard counter.next() > 1 else { return respond(to: request, error: code) }
        guard isSigned(request) else { return challenge(request) }
        let isAboutPeer = method(of: request) == .createPermission || method(of: request) == .channelBind
        return isAboutPeer ? respond(to: request, error: .forbidden, key: Self.key) : grant(request, Self.key)
      })
    defer { server.stop() }
    let report = run(server)
    #expect(report.failure == nil)
    #expect(
      report.findings.first
        == SecurityReport.Finding("anonymous", "Allocate without credentials", verdict, detail))
    #expect(report.findings.contains { $0.check == "peer" && $0.verdict == .refused }, "\(report.findings)")
  }
}
