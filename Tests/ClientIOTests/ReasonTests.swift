import ClientIO
import Crypto
import Dispatch
import Foundation
import NetIO
import NetworkTypes
import STUN
import Synchronization
import TLS
import TURNClient
import Testing

/// Every reason code is produced here by a server that gives cause for it, but for those that `CoturnTests` have.
@Suite("Why a check fails", .serialized)
struct ReasonTests {
  static func options(_ change: (inout CheckOptions) -> Void = { _ in }) -> CheckOptions {
    var options = CheckOptions()
    options.timeout = 250
    change(&options)
    return options
  }

  static func bind(
    _ address: SocketAddress, _ transport: TransportProtocol = .udp, host: String = "127.0.0.1",
    _ options: CheckOptions = options()
  ) throws -> CheckFailure? {
    let target = ServerTarget(uri: try ServerURI(parsing: host), transport: transport, address: address)
    var generator = SeededGenerator(seed: [5])
    return BindingCheck.run(target, options, generator: &generator).verdict
  }

  static func relay(_ address: SocketAddress, _ options: CheckOptions = options()) throws -> RelayReport {
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(address.address), port: address.port), transport: .udp,
      address: address)
    return RelayCheck.run(target, options, generator: SeededGenerator(seed: [6]))
  }

  /// Runs a relay check against a server that answers each request with `handler`.
  static func relay(
    _ change: (inout CheckOptions) -> Void = { _ in }, _ handler: @escaping FakeServer.Handler
  ) throws -> RelayReport {
    let server = try FakeServer(.udp(handler))
    defer { server.stop() }
    return try relay(server.address, options(change))
  }

  static let credential = LongTermCredential(username: "alice", password: "secret")

  // MARK: - The way to the server

  @Test func `A port where nobody listens refuses, over UDP and TCP`() throws {
    let free = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0)).localAddress ?? .none
    for transport in [TransportProtocol.udp, .tcp] {
      let failure = try Self.bind(free, transport)
      #expect(failure?.reason == .refused)
      #expect(failure?.message == "\(free) over \(transport.label): connection refused")
    }
  }

  @Test func `A server that says nothing is a timeout, on each transport`() throws {
    let udp = try FakeServer(.udp { _ in [] })
    let tcp = try FakeServer(.tcp { _ in [] })
    defer {
      udp.stop()
      tcp.stop()
    }
    #expect(
      try Self.bind(udp.address)
        == CheckFailure(
          .timeout, "Binding at \(udp.address) over UDP: no answer to 1 request within 250 ms",
          advice: "a firewall drops UDP, the host is down, or this is no STUN server"))
    #expect(try Self.bind(tcp.address, .tcp)?.reason == .timeout)
    let context = try TLSContext(client: .none)
    let failure = try Self.bind(tcp.address, .tls, Self.options { $0.tls = context })
    #expect(failure?.message == "\(tcp.address) over TLS: connected, but no TLS handshake within 250 ms")
  }

  @Test func `A server that closes, and one that talks of other things`() throws {
    let closing = try FakeServer(.closing)
    let chatty = try FakeServer(.tcp { _ in [Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)] })
    let noise = try FakeServer(.udp { _ in [[1, 2, 3]] })
    defer {
      closing.stop()
      chatty.stop()
      noise.stop()
    }
    #expect(try Self.bind(closing.address, .tcp)?.reason == .closed)
    #expect(try Self.bind(chatty.address, .tcp)?.reason == .notSTUN)
    #expect(try Self.bind(noise.address)?.reason == .notSTUN)
  }

  @Test func `No route, a busy local port, a name that is none, a transport that is not there`() throws {
    // Nothing leaves: the kernel refuses a broadcast to a socket that did not ask for it.
    let everybody = SocketAddress(IPAddress(255, 255, 255, 255), port: 9)
    #expect(try Self.bind(everybody)?.reason == .unreachable)
    let busy = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let local = busy.localAddress
    let failure = try Self.bind(
      SocketAddress(.ipv4Loopback, port: 9), .udp, Self.options { $0.local = local })
    #expect(failure?.reason == .system)
    #expect(failure?.message.hasSuffix("Address already in use") == true)
    #expect(try Self.bind(SocketAddress(.ipv4Loopback, port: 9), .dtls)?.reason == .unsupported)
    let error = #expect(throws: ConnectionFailure.self) {
      try ServerTarget.resolve(ServerURI(parsing: "stun:no-such-host.invalid"))
    }
    #expect(error.map { CheckFailure($0).reason } == .unresolved)
  }

  @Test func `A server of RFC 3489 is understood, its other address included`() throws {
    let server = try FakeServer(
      .udp { request in
        respond(to: request) {
          $0.append(.mappedAddress, plain: mapped)
          $0.append(AttributeType(rawValue: 0x0004), plain: SocketAddress(.ipv4Loopback, port: 3478))
          $0.append(AttributeType(rawValue: 0x0005), plain: SocketAddress(IPAddress(127, 0, 0, 2), port: 3479))
          $0.append(.software, Array("Vovida.org 0.97\0\0".utf8))
        }
      })
    defer { server.stop() }
    let target = ServerTarget(uri: try ServerURI(parsing: "127.0.0.1"), transport: .udp, address: server.address)
    var generator = SeededGenerator(seed: [5])
    let response = BindingCheck.run(target, Self.options(), generator: &generator).response
    #expect(response?.mappedAddress == mapped && response?.isXORMapped == false)
    #expect(response?.otherAddress?.description == "127.0.0.2:3479")
    #expect(response?.software == "Vovida.org 0.97")
    let unknown = try FakeServer(
      .udp { request in
        respond(to: request) {
          $0.append(.xorMappedAddress, xor: mapped)
          $0.append(AttributeType(rawValue: 0x7FFE), UInt32(1))
        }
      })
    defer { unknown.stop() }
    #expect(try Self.bind(unknown.address)?.reason == .malformed)
  }

  // MARK: - TLS

  @Test func `Each trouble with the certificate has its reason`() throws {
    let now = Int64(Date().timeIntervalSince1970)
    func identity(_ now: Int64) throws -> SelfSignedCertificate {
      try SelfSignedCertificate(commonName: "x", hostNames: ["turn.test"], addresses: [.ipv4Loopback], now: now)
    }
    let good = try identity(now)
    let early = try identity(now + 40 * 86_400)
    let old = try identity(now - 11 * 365 * 86_400)
    let cases: [(SelfSignedCertificate, trusted: SelfSignedCertificate, String, CheckFailure.Reason?, String)] = [
      (good, good, "127.0.0.1", nil, ""), (good, good, "turn.test", nil, ""),
      (good, good, "other.test", .tlsName, "it is for turn.test, 127.0.0.1: use such a name"),
      (old, old, "127.0.0.1", .tlsExpired, "the certificate ended on "),
      (early, early, "127.0.0.1", .tlsNotYetValid, "the certificate begins on "),
      (good, old, "127.0.0.1", .tlsUntrusted, "give the authority with --ca FILE"),
    ]
    for (shown, trusted, name, reason, advice) in cases {
      let files = try CertificateFiles(
        chain: .bytes(shown.certificate, name: "c"), key: .bytes(shown.key, name: "k"))
      let server = try FakeServer(.tls(TLSContext(server: files), generous))
      defer { server.stop() }
      let context = try TLSContext(client: .authorities(.bytes(trusted.certificate, name: "ca")))
      let failure = try Self.bind(server.address, .tls, host: name, Self.options { $0.tls = context })
      #expect(failure?.reason == reason)
      if let failure { #expect(failure.advice.hasPrefix(advice)) }
    }
  }

  @Test func `A port without TLS, and one that refuses the handshake`() throws {
    let plain = try FakeServer(.tcp { _ in [[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]] })
    // A fatal alert: handshake_failure.
    let alerting = try FakeServer(.tcp { _ in [[21, 3, 3, 0, 2, 2, 40]] })
    defer {
      plain.stop()
      alerting.stop()
    }
    let context = try TLSContext(client: .none)
    let options = Self.options { $0.tls = context }
    #expect(try Self.bind(plain.address, .tls, options)?.reason == .tlsNotSpoken)
    #expect(try Self.bind(alerting.address, .tls, options)?.reason == .tls)
  }

  // MARK: - The server's answers

  static let refusals: [(ErrorCode, CheckFailure.Reason)] = [
    (.tryAlternate, .redirect), (.badRequest, .badRequest), (.unknownAttribute, .badRequest), (.forbidden, .forbidden),
    (.allocationMismatch, .allocationMismatch), (.addressFamilyNotSupported, .family),
    (.allocationQuotaReached, .quota), (.insufficientCapacity, .capacity), (.serverError, .serverError),
    (.unsupportedTransportProtocol, .refusedByServer), (ErrorCode(rawValue: 699), .refusedByServer),
  ]

  @Test(arguments: refusals)
  func `A refused Allocate says what it was refused with`(code: ErrorCode, reason: CheckFailure.Reason) throws {
    let report = try Self.relay { respond(to: $0, error: code) }
    #expect(report.verdict?.reason == reason)
    #expect(report.verdict?.message.hasSuffix(": \(code.rawValue) \(code.reason)") == true)
    #expect(report.steps.map(\.name) == [.allocate])
  }

  @Test func `A redirection names the other server`() throws {
    let report = try Self.relay { request in
      respond(to: request, error: .tryAlternate) { $0.append(.alternateServer, plain: mapped) }
    }
    #expect(report.verdict?.advice == "the server sends clients to 198.51.100.1:4000")
  }

  @Test func `Credentials that are missing, wrong, or never fresh enough`() throws {
    #expect(try Self.relay { challenge($0) }.verdict?.reason == .credentialsNeeded)
    let wrong = try Self.relay({ $0.credential = Self.credential }) { challenge($0) }
    #expect(wrong.verdict?.reason == .wrongCredentials)
    #expect(wrong.verdict?.advice == "wrong username or password")
    let secret = try Self.relay({
      $0.credential = Self.credential
      $0.hasSecret = true
    }) { challenge($0) }
    #expect(secret.verdict?.advice == "another secret, or this machine's clock is wrong")
    let counter = Counter()
    let stale = try Self.relay({ $0.credential = Self.credential }) {
      challenge($0, isSigned($0) ? .staleNonce : .unauthenticated, nonce: "n\(counter.next())")
    }
    #expect(stale.verdict?.reason == .authentication)
  }

  @Test func `A time-limited credential that is over is told by how long`() throws {
    let now = UInt64(Date().timeIntervalSince1970)
    let ended = try Self.relay({ $0.credential = LongTermCredential(username: "\(now - 312):bob", password: "x") }) {
      challenge($0)
    }
    #expect(ended.verdict?.reason == .credentialExpired)
    let pattern = /the credential ended 31[2-9] s ago by this machine's clock: get a new one, or set the clock/
    #expect(ended.verdict?.advice.wholeMatch(of: pattern) != nil)
    for name in ["\(now + 60):bob", "12345:bob", "alice"] {
      let other = try Self.relay({ $0.credential = LongTermCredential(username: name, password: "x") }) {
        challenge($0)
      }
      #expect(other.verdict?.reason == .wrongCredentials)
    }
  }

  @Test func `How far a server's clock is ahead is found out, or that the secret is another one`() throws {
    let secret = Array("s3cret".utf8)
    for (ahead, other) in [(4000, secret), (100_000, secret), (0, [1, 2, 3])] as [(UInt64, [UInt8])] {
      let server = try restServer(ahead: ahead, other)
      defer { server.stop() }
      let uri = ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.address.port)
      let target = ServerTarget(uri: uri, transport: .udp, address: server.address)
      var generator = SeededGenerator(seed: [9])
      let finding = ClockDiagnosis.run(
        target, Self.options { $0.timeout = 2000 }, name: "bob", secret: secret, lifetime: 600, generator: &generator)
      if case .serverAhead(let seconds) = finding {
        #expect((ahead...(ahead + 5)).contains(seconds), "\(seconds) for \(ahead)")
      } else {
        #expect(finding == .otherSecret && other != secret)
      }
    }
  }

  @Test func `Answers that are not signed with our password, or malformed`() throws {
    let stranger = LongTermKey.md5(username: [1], realm: [2], password: [3])
    let unsigned = try Self.relay({ $0.credential = Self.credential }) {
      isSigned($0) ? respond(to: $0, key: stranger) { $0.append(.lifetime, UInt32(600)) } : challenge($0)
    }
    #expect(unsigned.verdict?.reason == .integrity)
    #expect(try Self.relay { respond(to: $0) }.verdict?.reason == .malformed)
  }

  @Test func `A relay that swallows data is found out, with both kinds of peer, and the allocation is given back`()
    throws
  {
    let seen = Methods()
    let report = try Self.relay({ $0.timeout = 60 }) {
      seen.note(method(of: $0))
      return generous($0)
    }
    #expect(report.verdict?.reason == .echoLost)
    #expect(report.verdict?.message.hasPrefix("no data reached the peer") == true)
    #expect(report.peerKind == .socket)
    #expect(report.notes.count == 1 && report.notes.first?.hasPrefix("with a second allocation as the peer: ") == true)
    #expect(report.steps.map(\.name) == [.allocate, .peer, .permission, .sendEcho, .delete])
    // Two allocations, two deletions.
    #expect(seen.count(.allocate) == 2)
    #expect(seen.count(.refresh) == 2)
  }

  @Test func `A second allocation that may not be sent to is given back, and its peer is the likely cause`() throws {
    let seen = Methods()
    let report = try Self.relay { request in
      seen.note(method(of: request))
      return method(of: request) == .createPermission ? respond(to: request, error: .forbidden) : generous(request)
    }
    let failure = try #require(report.verdict)
    #expect(failure.reason == .forbidden && failure.advice.contains("peer address"), "\(failure)")
    #expect(failure.message.hasPrefix("CreatePermission for 127.0.0.1:9 of the second allocation at "), "\(failure)")
    #expect(seen.count(.allocate) == 2 && seen.count(.refresh) == 2)
  }

  @Test func `An allocation that is not what was asked for is given back`() throws {
    let deleted = DispatchSemaphore(value: 0)
    let report = try Self.relay({ $0.relayFamily = .ipv6 }) { request in
      if let message = try? MessageView(request.span.rawBytes), message.type.method == .refresh,
        ((try? message.lifetime()) ?? nil) == 0
      {
        deleted.signal()
      }
      return generous(request)
    }
    #expect(report.verdict?.reason == .malformed)
    #expect(deleted.wait(timeout: .now() + 10) == .success)
  }

  @Test func `Every reason is produced by some test`() {
    let here: Set<CheckFailure.Reason> = [
      .refused, .timeout, .closed, .notSTUN, .unreachable, .system, .unsupported, .unresolved, .tlsName, .tlsExpired,
      .tlsUntrusted, .tlsNotSpoken, .tls, .credentialsNeeded, .wrongCredentials, .authentication, .integrity,
      .malformed, .echoLost, .tlsNotYetValid, .credentialExpired,
      // CoturnTests and ProgramTests have these.
      .letThrough,
    ]
    #expect(here.union(Self.refusals.map(\.1)) == Set(CheckFailure.Reason.allCases))
  }
}

/// Counts up, from any thread.
final class Counter: Sendable {
  private let value = Atomic(0)
  func next() -> Int { value.add(1, ordering: .relaxed).newValue }
}

/// The methods that a server has seen.
final class Methods: Sendable {
  private let seen = Mutex<[STUN.Method]>([])
  func note(_ method: STUN.Method?) { if let method { seen.withLock { $0.append(method) } } }
  func count(_ method: STUN.Method) -> Int { seen.withLock { $0.count { $0 == method } } }
}

extension ReasonTests {
  /// What a server of one's own answers to CreatePermission and ChannelBind, and which verdict that is.
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
          return respond(to: request, key: key) {
            $0.append(.xorRelayedAddress, xor: SocketAddress(IPAddress(203, 0, 113, 1), port: 9))
            $0.append(.xorMappedAddress, xor: mapped)
            $0.append(.lifetime, UInt32(600))
          }
        }
      })
    defer { server.stop() }
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(server.address.address), port: server.address.port),
      transport: .udp, address: server.address)
    return SecurityCheck.run(
      target,
      Self.options {
        $0.credential = Self.credential
        $0.otherCredential = other
      }, generator: SeededGenerator(seed: [7]))
  }

  @Test func `What one user may do to another's allocation is told, or that there is one user only`() throws {
    func verdicts(_ other: LongTermCredential?, _ code: ErrorCode?) throws -> [SecurityReport.Verdict] {
      try self.verdicts(other) { request, _ in respond(to: request, error: code) }.findings
        .filter { $0.check == "other-user" }.map(\.verdict)
    }
    let bob = LongTermCredential(username: "bob", password: "hunter2")
    // The server of this test takes everybody's Refresh.
    #expect(try verdicts(bob, nil) == [.letThrough, .letThrough])
    #expect(try verdicts(bob, .wrongCredentials) == [.letThrough, .refused])
    #expect(try verdicts(bob, .forbidden) == [.letThrough, .unknown])
    #expect(try verdicts(nil, nil) == [.notApplicable, .notApplicable])
  }

  @Test func `Where a stranger can end an allocation, other users are tried on another one`() throws {
    // What ends an allocation here needs no signature, and the owner must make another before anything is there again.
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
          return respond(to: request, key: key) {
            $0.append(.xorRelayedAddress, xor: SocketAddress(IPAddress(203, 0, 113, 1), port: 9))
            $0.append(.xorMappedAddress, xor: mapped)
            $0.append(.lifetime, UInt32(600))
          }
        })
      defer { server.stop() }
      let target = ServerTarget(
        uri: ServerURI(scheme: .turn, host: .address(server.address.address), port: server.address.port),
        transport: .udp, address: server.address)
      let report = SecurityCheck.run(
        target,
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

  @Test func `Only an answer about the rule counts as a peer refused; a stale nonce is learnt from`() throws {
    // It has IPv4 relays only, and does not say so.
    func peers(_ report: SecurityReport) -> [SecurityReport.Finding] {
      #expect(report.failure == nil && report.findings.contains { $0.subject == "IPv6 peers" })
      return report.findings.filter { $0.check == "peer" && $0.subject != "IPv6 peers" }
    }
    let trouble = try verdicts { request, _ in respond(to: request, error: .serverError) }
    let open = peers(trouble)
    #expect(!open.isEmpty && open.allSatisfy { $0.verdict == .unknown }, "\(open)")
    // The server of this test takes every password.
    #expect(trouble.findings.first { $0.check == "wrong-password" }?.verdict != .refused)

    let fresh = try verdicts { request, nonce in
      nonce == "m" ? respond(to: request, error: .forbidden) : challenge(request, .staleNonce, nonce: "m")
    }
    let refused = peers(fresh)
    #expect(!refused.isEmpty && refused.allSatisfy { $0.verdict == .refused }, "\(refused)")

    // An allocation that has no room for more permissions gives way to a fresh one.
    let counter = Counter()
    let full = try verdicts { request, _ in
      respond(to: request, error: [5, 10].contains(counter.next()) ? .insufficientCapacity : .forbidden)
    }
    #expect(peers(full).allSatisfy { $0.verdict == .refused }, "\(full.findings)")

    let stale = try verdicts { request, _ in challenge(request, .staleNonce, nonce: "x") }
    #expect(peers(stale).allSatisfy { $0.verdict == .unknown })
  }

  @Test func `NAT tests of a port where nobody listens are refused at once`() throws {
    let free = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0)).localAddress ?? .none
    let target = ServerTarget(uri: try ServerURI(parsing: "127.0.0.1"), transport: .udp, address: free)
    let report = NATCheck.run(
      target, Self.options { $0.timeout = 10_000 }, questions: NATDiscovery.Questions(), lifetime: nil,
      generator: SeededGenerator(seed: [8]))
    #expect(report.verdict?.reason == .refused)
  }

  @Test func `A local address that is not there is this machine's trouble`() throws {
    let server = try FakeServer(.udp(generous))
    defer { server.stop() }
    let elsewhere = SocketAddress(IPAddress(192, 0, 2, 1), port: 0)
    #expect(try Self.bind(server.address, .udp, Self.options { $0.local = elsewhere })?.reason == .system)
  }
}
