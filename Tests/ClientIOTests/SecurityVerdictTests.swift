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

  @Test("Each peer is tried on a channel of its own", .tags(.slow))
  func channels() throws {
    // The server forbids permissions and no channels, but a bound channel cannot get another peer.
    let bound = Mutex<[UInt32: [UInt8]]>([:])
    let server = try FakeServer(
      .udp { request in
        guard let message = try? MessageView(request.span.rawBytes), isSigned(request) else {
          return challenge(request)
        }
        switch message.type.method {
        case .createPermission: return respond(to: request, error: .forbidden, key: Self.key)
        case .channelBind:
          guard let number = message.value(of: .channelNumber)?.bigEndian32(at: 0),
            let peer = (try? message.xorAddress(.xorPeerAddress)) ?? nil
          else { return [] }
          let isFree = bound.withLock { table in
            if table[number] == nil { table[number] = Array(peer.description.utf8) }
            return table[number] == Array(peer.description.utf8)
          }
          return respond(to: request, error: isFree ? nil : .badRequest, key: Self.key)
        default: return grant(request, Self.key)
        }
      })
    defer { server.stop() }
    // Data must reach a peer on loopback, which this server does not do.
    let peers = run(server).findings.filter { $0.check == "peer" && !$0.subject.contains("loopback") }.dropLast()
    #expect(peers.count == 14 && peers.allSatisfy { $0.verdict == .letThrough }, "\(peers)")
  }

  @Test(
    "Only an answer to the Binding request through the relay shows that the server's own port is reachable",
    .tags(.slow),
    arguments: [(1, true, SecurityReport.Verdict.letThrough), (2, true, .letThrough), (1, false, .refused)])
  func ownListener(answered: Int, isAnswer: Bool, verdict: SecurityReport.Verdict) throws {
    let counter = Counter()
    let server = try FakeServer(
      .udp { request in
        guard let message = try? MessageView(request.span.rawBytes) else { return [] }
        guard message.type.messageClass == .indication else {
          return isSigned(request) ? grant(request, Self.key) : challenge(request)
        }
        guard let data = message.value(of: .data)?.copied(), method(of: data) == .binding,
          let peer = (try? message.xorAddress(.xorPeerAddress)) ?? nil, counter.next() >= answered
        else { return [] }
        let answer = isAnswer ? generous(data).first ?? [] : [1, 2, 3]
        var writer = MessageWriter()
        writer.begin(MessageType(.data, .indication), transactionID: message.transactionID)
        writer.append(.xorPeerAddress, xor: peer)
        writer.append(.data, answer.span.rawBytes)
        return [writer.bytes.copied()]
      })
    defer { server.stop() }
    let findings = run(server).findings
    #expect(findings.filter { $0.check == "own-listener" }.map(\.verdict) == [verdict], "\(findings)")
  }

  // MARK: - Datagrams that are no answer

  /// Runs the checks of strangers only.
  private func strangers(_ handler: @escaping CrossServer.Handler) throws -> [SecurityReport.Finding] {
    let server = try CrossServer(replies: handler)
    defer { server.stop() }
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.address.port), transport: .udp,
      address: server.address)
    var check = SecurityCheck(
      target: target, options: ReasonTests.options(), report: SecurityReport(target: target),
      random: SeededGenerator(seed: [7]))
    check.strangers()
    return check.report.findings
  }

  /// A large response with dirty padding; unless `isOurs`, to another request.
  private static func stray(_ request: [UInt8], isOurs: Bool) -> [UInt8] {
    var bytes: [UInt8] = [1, 1, 1, 0x9C] + request[4..<20]
    if !isOurs { bytes[19] ^= 1 }
    return bytes + [0x80, 0x22, 0, 1, 0x61, 0xFF, 0xFF, 0xFF, 0x80, 0x22, 1, 0x90]
      + [UInt8](repeating: 0x61, count: 400)
  }

  @Test(
    "Late answers, echoes and answers from another address are no answers",
    arguments: [(false, false), (true, true), (nil, false)] as [(Bool?, Bool)])
  func strayDatagrams(isOurs: Bool?, isFromElsewhere: Bool) throws {
    let findings = try strangers { request in
      let stray = isOurs.map { Self.stray(request, isOurs: $0) } ?? request
      let answers = method(of: request) == .allocate ? challenge(request) : generous(request)
      return [CrossServer.Reply(bytes: stray, isFromElsewhere: isFromElsewhere)]
        + answers.map { CrossServer.Reply(bytes: $0) }
    }
    for check in ["amplification", "padding"] {
      #expect(findings.filter { $0.check == check }.map(\.verdict) == [.refused, .refused], "\(findings)")
    }
    let sizes = findings.filter { $0.check == "amplification" }.map { $0.detail.prefix { $0 != " " } }
    #expect(sizes == ["48", "72"], "\(findings)")
  }

  @Test(
    "Only an answer to the request with RESPONSE-ADDRESS shows that the server sends to strangers' addresses",
    arguments: [
      (true, false, SecurityReport.Verdict.letThrough), (true, true, .letThrough), (false, false, .refused),
      (false, true, .refused),
    ])
  func responseAddress(isOurs: Bool, isFromElsewhere: Bool, verdict: SecurityReport.Verdict) throws {
    let findings = try strangers { request in
      guard let address = Self.responseAddress(of: request) else { return generous(request).map { .init(bytes: $0) } }
      return [
        CrossServer.Reply(
          bytes: Self.stray(request, isOurs: isOurs), destination: address, isFromElsewhere: isFromElsewhere)
      ]
    }
    #expect(findings.filter { $0.check == "response-address" }.map(\.verdict) == [verdict], "\(findings)")
  }

  @Test("A request with RESPONSE-ADDRESS that was lost is repeated, and one that was answered is not")
  func lostRequest() throws {
    for isAnswered in [false, true] {
      let counter = Counter()
      let findings = try strangers { request in
        guard let address = Self.responseAddress(of: request) else { return generous(request).map { .init(bytes: $0) } }
        let answer = Self.stray(request, isOurs: true)
        guard counter.next() == 1 else { return [CrossServer.Reply(bytes: answer, destination: address)] }
        return isAnswered ? [CrossServer.Reply(bytes: answer)] : []
      }
      let verdicts = findings.filter { $0.check == "response-address" }.map(\.verdict)
      #expect(verdicts == [isAnswered ? .refused : .letThrough] && counter.value == (isAnswered ? 1 : 2))
    }
  }

  /// RESPONSE-ADDRESS of RFC 3489 section 11.2.2; nil for other requests.
  private static func responseAddress(of request: [UInt8]) -> SocketAddress? {
    guard request.count == 32, request[20..<26] == [0, 2, 0, 8, 0, 1] else { return nil }
    let port = UInt16(request[26]) << 8 | UInt16(request[27])
    return SocketAddress(IPAddress(request[28], request[29], request[30], request[31]), port: port)
  }
}
