import ClientIO
import Crypto
import Dispatch
import Foundation
import NetIO
import NetworkTypes
import STUN
import Synchronization
import TestSupport
import Testing
import TLS
import TURNClient

extension ReasonTests {
  /// The security check's verdicts for a server with these answers.
  private func verdicts(
    _ other: LongTermCredential? = nil, _ answer: @escaping @Sendable (_ request: [UInt8], _ nonce: String) -> [[UInt8]]
  ) throws -> SecurityReport {
    let server = try FakeServer(
      .udp { request in
        guard let message = try? MessageView(request.span.rawBytes), isSigned(request) else {
          return challenge(request)
        }
        let user = message.value(of: .username)?.copied() ?? []
        let password = user == Self.credential.username ? Self.credential.password : Array("hunter2".utf8)
        let key = LongTermKey.md5(username: user, realm: Array("example.org".utf8), password: password)
        switch method(of: request) {
        case .createPermission?, .channelBind?:
          return answer(request, String(decoding: message.value(of: .nonce)?.copied() ?? [], as: UTF8.self))
        default:
          return grant(request, key)
        }
      })
    defer { server.stop() }
    return SecurityCheck.run(
      server.target,
      Self.options {
        $0.credential = Self.credential
        $0.otherCredential = other
      }, generator: SeededGenerator(seed: [7]))
  }

  @Test("security reports whether another user can use the allocation, or that there is no other user", .tags(.slow))
  func otherUser() throws {
    func verdicts(_ other: LongTermCredential?, _ code: ErrorCode?) throws -> [SecurityReport.Verdict] {
      try self.verdicts(other) { request, _ in respond(to: request, error: code) }.findings
        .filter { $0.check == "other-user" }.map(\.verdict)
    }
    let bob = LongTermCredential(username: "bob", password: "hunter2")
    // The server of this test accepts every user's Refresh.
    #expect(try verdicts(bob, nil) == [.letThrough, .letThrough])
    #expect(try verdicts(bob, .wrongCredentials) == [.letThrough, .refused])
    #expect(try verdicts(bob, .forbidden) == [.letThrough, .unknown])
    #expect(try verdicts(nil, nil) == [.notApplicable, .notApplicable])
  }

  @Test("After an unsigned Refresh ends the allocation, other users are tried on a new one", .tags(.slow))
  func unsignedRefresh() throws {
    // On this server an unsigned request can end an allocation, and the owner must allocate again.
    func verdicts(canAllocateAgain: Bool) throws -> [String: [SecurityReport.Verdict]] {
      let isGone = Mutex(false)
      let server = try FakeServer(
        .udp { request in
          guard let message = try? MessageView(request.span.rawBytes) else { return [] }
          if !isSigned(request) {
            guard message.type.method == .refresh else { return challenge(request) }
            isGone.withLock { $0 = true }
            return respond(to: request) { $0.append(.lifetime, UInt32(0)) }
          }
          let user = message.value(of: .username)?.copied() ?? []
          let isOwner = user == Self.credential.username
          let password = isOwner ? Self.credential.password : Array("hunter2".utf8)
          let key = LongTermKey.md5(username: user, realm: Array("example.org".utf8), password: password)
          if isGone.withLock({ $0 }) {
            if message.type.method == .allocate, isOwner {
              guard canAllocateAgain else { return respond(to: request, error: .allocationQuotaReached, key: key) }
              isGone.withLock { $0 = false }
            } else if message.type.method != .allocate {
              return respond(to: request, error: .allocationMismatch, key: key)
            }
          }
          return grant(request, key)
        })
      defer { server.stop() }
      let report = SecurityCheck.run(
        server.target,
        Self.options {
          $0.credential = Self.credential
          $0.otherCredential = LongTermCredential(username: "bob", password: "hunter2")
        }, generator: SeededGenerator(seed: [7]))
      return Dictionary(grouping: report.findings, by: \.check).mapValues { $0.map(\.verdict) }
    }
    let again = try verdicts(canAllocateAgain: true)
    #expect(again["unsigned-refresh"] == [.letThrough] && again["behind-signature"] == [.refused])
    #expect(again["other-user"] == [.letThrough, .letThrough])
    let never = try verdicts(canAllocateAgain: false)
    #expect(never["behind-signature"] == [.unknown] && never["other-user"] == [.unknown, .unknown])
  }

  @Test("Only 403 counts as a refused peer, and a 438 is retried with the new nonce", .tags(.slow))
  func peerVerdicts() throws {
    // The server has only IPv4 relays and does not report it.
    func peers(_ report: SecurityReport) -> [SecurityReport.Finding] {
      #expect(report.failure == nil && report.findings.contains { $0.subject == "IPv6 peers" })
      return report.findings.filter { $0.check == "peer" && $0.subject != "IPv6 peers" }
    }
    let trouble = try verdicts { request, _ in respond(to: request, error: .serverError) }
    let open = peers(trouble)
    #expect(!open.isEmpty && open.allSatisfy { $0.verdict == .unknown }, "\(open)")
    // The server of this test accepts every password.
    #expect(trouble.findings.first { $0.check == "wrong-password" }?.verdict != .refused)

    let fresh = try verdicts { request, nonce in
      nonce == "m" ? respond(to: request, error: .forbidden) : challenge(request, .staleNonce, nonce: "m")
    }
    let refused = peers(fresh)
    #expect(!refused.isEmpty && refused.allSatisfy { $0.verdict == .refused }, "\(refused)")

    // When an allocation has no room for more permissions, the check makes a new one.
    let counter = Counter()
    let full = try verdicts { request, _ in
      respond(to: request, error: [5, 10].contains(counter.next()) ? .insufficientCapacity : .forbidden)
    }
    #expect(peers(full).allSatisfy { $0.verdict == .refused }, "\(full.findings)")

    let stale = try verdicts { request, _ in challenge(request, .staleNonce, nonce: "x") }
    #expect(peers(stale).allSatisfy { $0.verdict == .unknown })
  }

  @Test("NAT tests of a port without a listener fail at once")
  func natWithoutListener() throws {
    let free = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0)).localAddress ?? .none
    let target = ServerTarget(uri: try ServerURI(parsing: "127.0.0.1"), transport: .udp, address: free)
    let report = NATCheck.run(
      target, Self.options { $0.timeout = .milliseconds(10_000) }, questions: NATDiscovery.Questions(), lifetime: nil,
      generator: SeededGenerator(seed: [8]))
    #expect(report.verdict?.reason == .refused)
  }

  @Test("A local address that this machine does not have is a system error")
  func missingLocalAddress() throws {
    let server = try FakeServer(.udp(generous))
    defer { server.stop() }
    let elsewhere = SocketAddress(IPAddress(192, 0, 2, 1), port: 0)
    #expect(try Self.bind(server.address, .udp, Self.options { $0.local = elsewhere })?.reason == .system)
  }
}
