import ClientIO
import Crypto
import NetworkTypes
import STUN
import Testing
import TURNClient

/// Tests answers that servers built with pion's library (2.1) send against the RFC's text.
@Suite("Servers built with pion's library")
struct PionTests {
  @Test("A 400 without a phrase suggests wrong credentials, because pion sends it for them")
  func wrongCredentials() throws {
    let report = try ReasonTests.relay(
      { $0.credential = LongTermCredential(username: "alice", password: "wrong") }, Self.answers)
    #expect(report.verdict?.reason == .badRequest)
    #expect(report.verdict?.message.hasSuffix(" (unsigned): the server does not understand the request (400)") == true)
    #expect(report.verdict?.advice.contains("wrong username or password") == true)
  }

  @Test("The security check completes although pion omits ERROR-CODE and ignores the family")
  func security() throws {
    let server = try FakeServer(.udp(Self.answers))
    defer { server.stop() }
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.address.port), transport: .udp,
      address: server.address)
    let report = SecurityCheck.run(
      target, ReasonTests.options { $0.credential = ReasonTests.credential }, generator: SeededGenerator(seed: [7]))
    #expect(report.failure == nil)
    func findings(_ check: String) -> [SecurityReport.Finding] { report.findings.filter { $0.check == check } }
    #expect(findings("wrong-password").map(\.verdict) == [.refused])
    // An error without a code is not reported as 500.
    #expect(findings("peer").first?.detail == "CreatePermission: an error response without ERROR-CODE")
    // An IPv4 relayed address in place of an IPv6 one does not end the check.
    #expect(findings("peer").last?.subject == "IPv6 peers")
    #expect(findings("peer").allSatisfy { $0.verdict == .unknown })
    #expect(findings("amplification").count == 2)
  }

  private static func answers(_ request: [UInt8]) -> [[UInt8]] {
    guard let message = try? MessageView(request.span.rawBytes) else { return [] }
    if message.type.method == .binding { return generous(request) }
    guard isSigned(request), let username = message.value(of: .username)?.copied() else { return challenge(request) }
    let key = LongTermKey.md5(
      username: username, realm: Array("example.org".utf8), password: ReasonTests.credential.password)
    var authenticator = MessageAuthenticator()
    guard authenticator.verify(message, key: key) else {
      return error(to: message) { $0.append(.errorCode, UInt32(0x400)) }
    }
    switch message.type.method {
    case .createPermission: return error(to: message) { authenticator.sign(&$0, key: key) }
    case .channelBind: return respond(to: request, error: .unauthenticated)
    default:
      return respond(to: request, key: key) {
        if message.type.method == .allocate {
          $0.append(.xorRelayedAddress, xor: SocketAddress(.ipv4Loopback, port: 9))
          $0.append(.xorMappedAddress, xor: mapped)
        }
        $0.append(.lifetime, UInt32(600))
      }
    }
  }

  /// An error response with only the attributes that `body` appends.
  private static func error(
    to message: borrowing MessageView, _ body: (inout MessageWriter) -> Void
  ) -> [[UInt8]] {
    var writer = MessageWriter()
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    body(&writer)
    return [writer.bytes.copied()]
  }
}
