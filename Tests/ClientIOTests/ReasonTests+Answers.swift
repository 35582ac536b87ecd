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

/// Reasons that come from the server's answers.
extension ReasonTests {
  static let refusals: [(ErrorCode, CheckFailure.Reason)] = [
    (.tryAlternate, .redirect), (.badRequest, .badRequest), (.unknownAttribute, .badRequest), (.forbidden, .forbidden),
    (.allocationMismatch, .allocationMismatch), (.addressFamilyNotSupported, .family),
    (.allocationQuotaReached, .quota), (.insufficientCapacity, .capacity), (.serverError, .serverError),
    (.unsupportedTransportProtocol, .refusedByServer), (ErrorCode(rawValue: 699), .refusedByServer),
  ]

  @Test("A refused Allocate has a reason for each error code", arguments: refusals)
  func refusedAllocate(code: ErrorCode, reason: CheckFailure.Reason) throws {
    let report = try Self.relay { respond(to: $0, error: code) }
    #expect(report.verdict?.reason == reason)
    #expect(report.verdict?.message.hasSuffix(": \(code.words()) (\(code.rawValue) \(code.reason))") == true)
    #expect(report.steps.map(\.name) == [.allocate])
  }

  @Test("A redirection names the other server")
  func redirection() throws {
    let report = try Self.relay { request in
      respond(to: request, error: .tryAlternate) { $0.append(.alternateServer, plain: mapped) }
    }
    #expect(report.verdict?.advice == "the server sends clients to 198.51.100.1:4000")
  }

  @Test("Missing credentials, wrong ones and endless 438s have their own reasons")
  func credentials() throws {
    #expect(try Self.relay { challenge($0) }.verdict?.reason == .credentialsNeeded)
    let wrong = try Self.relay({ $0.credential = Self.credential }) { challenge($0) }
    #expect(wrong.verdict?.reason == .wrongCredentials)
    #expect(wrong.verdict?.advice == "wrong username or password")
    let secret = try Self.relay({
      $0.credential = Self.credential
      $0.hasSecret = true
    }) { challenge($0) }
    #expect(secret.verdict?.advice == "wrong shared secret, or this machine's clock is wrong")
    let counter = Counter()
    let stale = try Self.relay({ $0.credential = Self.credential }) {
      challenge($0, isSigned($0) ? .staleNonce : .unauthenticated, nonce: "n\(counter.next())")
    }
    #expect(stale.verdict?.reason == .authentication)
  }

  @Test("The message about an expired time-limited credential says how long ago it expired")
  func expiredCredential() throws {
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

  @Test("A 401 for a valid time-limited credential is explained by the server's clock or a wrong secret")
  func clockOffset() throws {
    let secret = Array("s3cret".utf8)
    for (ahead, other) in [(4000, secret), (100_000, secret), (0, [1, 2, 3])] as [(UInt64, [UInt8])] {
      let server = try restServer(ahead: ahead, other)
      defer { server.stop() }
      let uri = ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.address.port)
      let target = ServerTarget(uri: uri, transport: .udp, address: server.address)
      var generator = SeededGenerator(seed: [9])
      let finding = ClockDiagnosis.run(
        target, Self.options { $0.timeout = .milliseconds(2000) }, name: "bob", secret: secret, lifetime: .seconds(600),
        generator: &generator)
      if case .serverAhead(let found) = finding {
        #expect((Duration.seconds(ahead)...(.seconds(ahead + 5))).contains(found), "\(found) for \(ahead)")
      } else {
        #expect(finding == .otherSecret && other != secret)
      }
    }
  }

  @Test("The duration of the search does not count as a difference of the clocks", .tags(.slow))
  func slowClockSearch() throws {
    let secret = Array("s3cret".utf8)
    let server = try restServer(ahead: 4000, secret, delay: .milliseconds(70))
    defer { server.stop() }
    var generator = SeededGenerator(seed: [9])
    let finding = ClockDiagnosis.run(
      server.target, Self.options { $0.timeout = .milliseconds(2000) }, name: "bob", secret: secret,
      lifetime: .seconds(600), generator: &generator)
    let right = (3999...4002).map { ClockDiagnosis.Finding.serverAhead(by: .seconds($0)) }
    #expect(right.contains(finding), "\(finding)")
  }

  @Test("Answers with a wrong signature and malformed answers have their own reasons")
  func badAnswers() throws {
    let stranger = LongTermKey.md5(username: [1], realm: [2], password: [3])
    let unsigned = try Self.relay({ $0.credential = Self.credential }) {
      isSigned($0) ? respond(to: $0, key: stranger) { $0.append(.lifetime, UInt32(600)) } : challenge($0)
    }
    #expect(unsigned.verdict?.reason == .integrity)
    #expect(try Self.relay { respond(to: $0) }.verdict?.reason == .malformed)
  }

  @Test("A relay that drops data fails with both kinds of peer, and the allocation is deleted")
  func lostData()
    throws
  {
    let seen = Methods()
    let report = try Self.relay({ $0.timeout = .milliseconds(60) }) {
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

  @Test("A second allocation that cannot be a peer is deleted and is the likely cause")
  func unreachablePeer() throws {
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

  @Test("An allocation of the wrong kind is deleted")
  func wrongAllocation() throws {
    let deleted = DispatchSemaphore(value: 0)
    let server = try FakeServer(
      .udp { request in
        if let message = try? MessageView(request.span.rawBytes), message.type.method == .refresh,
          ((try? message.lifetime()) ?? nil) == 0
        {
          deleted.signal()
        }
        return generous(request)
      })
    // The check does not wait for the Refresh, so the server must still run.
    defer { server.stop() }
    let report = try Self.relay(server.address, Self.options { $0.relayFamily = .ipv6 })
    #expect(report.verdict?.reason == .malformed)
    #expect(deleted.wait(timeout: .now() + 10) == .success)
  }
}
