import NetIO
import Foundation
import System
import NetworkTypes
import STUN
import TLS
import TURNClient
import Testing

@testable import ClientIO

/// Every failure of a check must have a likely cause in words.
@Suite("Likely causes")
struct CauseTests {
  static let errors: [Errno] = [
    .addressInUse, .addressNotAvailable, .familyNotSupported, .permissionDenied, .notPermitted, .connectionRefused,
    .connectionReset, .timedOut, .tooManyFiles, .noBuffers, .invalidArgument, .networkUnreachable, .hostUnreachable,
  ]

  static let connections: [ConnectionFailure] =
    [
      .refused, .closed, .notSTUN, .unsupported(.tls), .unsupported(.dtls), .timeout(.connecting), .timeout(.handshake),
      .timeout(.sending), .timeout(.answer), .unresolved(name: "a.test", .notFound),
      .unresolved(name: "a.test", .temporary), .unresolved(name: "a.test", .failed("SERVFAIL")),
      .unresolved(name: "127.0.0.1", .failed("is no IPv6 address")), .unresolved(name: "fe80::1%x", .failed("none")),
    ] + errors.flatMap { [.unreachable($0), .system($0), ConnectionFailure($0), ConnectionFailure($0, isBound: true)] }

  static let codes: [ErrorCode] = [
    .tryAlternate, .badRequest, .unauthenticated, .forbidden, .mobilityForbidden, .unknownAttribute,
    .allocationMismatch, .staleNonce, .addressFamilyNotSupported, .wrongCredentials, .unsupportedTransportProtocol,
    .peerAddressFamilyMismatch, .connectionAlreadyExists, .connectionTimeoutOrFailure, .allocationQuotaReached,
    .serverError, .insufficientCapacity, ErrorCode(rawValue: 699),
  ]

  static let requests: [RequestFailure] =
    [
      .wrongCredentials(isNonceSame: true), .wrongCredentials(isNonceSame: false), .credentialsNeeded(realm: ""),
      .nonceNeverFresh, .answeredFrom(mapped), .answeredFrom(SocketAddress(.ipv4Loopback, port: 10)),
      .authenticationUnsupported("x"), .integrityViolated, .malformed("x"),
    ]
    + [nil, .notSTUN, .wrongFingerprint, .unknownTransaction, .wrongIntegrity, .unexpected, .malformed].map {
      .timeout(transmissions: 1, discarded: $0)
    }
    + codes.flatMap { code in
      [true, false].map { .refused(code, phrase: "x", alternateServer: nil, isAuthenticated: $0) }
    }

  @Test("Every failure reason has a usual cause")
  func usualCauses() {
    for reason in CheckFailure.Reason.allCases {
      #expect(reason.usualCause.contains(" "), "\(reason)")
      #expect(CheckFailure(reason, "x").advice == reason.usualCause)
    }
  }

  @Test("Every connection failure and request failure has a likely cause that adds to its message")
  func causesOfFailures() throws {
    var found: [CheckFailure] = Self.connections.map { CheckFailure($0) }
    for transport in TransportProtocol.allCases {
      let uri = try ServerURI(parsing: "turn:127.0.0.1")
      let target = ServerTarget(uri: uri, transport: transport, address: SocketAddress(.ipv4Loopback, port: 9))
      found += Self.connections.map { CheckFailure($0, target) }
      for what in ["Binding", "Allocate", "CreatePermission for 127.0.0.1:9", "Refresh"] {
        for isAboutPeer in [false, true] {
          found += Self.requests.map { CheckFailure($0, what, target, CheckOptions(), isAboutPeer: isAboutPeer) }
        }
      }
    }
    for failure in found {
      #expect(failure.advice.contains(" ") && failure.advice != failure.message, "\(failure)")
    }
    // ReasonTests tests the reasons for TLS and those that only a check can find.
    let elsewhere: Set<CheckFailure.Reason> = [
      .tls, .tlsName, .tlsExpired, .tlsNotYetValid, .tlsUntrusted, .tlsNotSpoken, .credentialExpired, .echoLost,
      .letThrough, .relayedAddress, .mappedAddress,
    ]
    #expect(Set(found.map(\.reason)).union(elsewhere) == Set(CheckFailure.Reason.allCases))
  }

  @Test("The likely cause fits the failure's details")
  func fittingCauses() throws {
    func cause(_ failure: ConnectionFailure) -> String { CheckFailure(failure).advice }
    #expect(cause(ConnectionFailure(.addressInUse)).hasPrefix("another program has this local port"))
    #expect(cause(ConnectionFailure(.notPermitted)).hasPrefix("this machine's own firewall"))
    #expect(cause(ConnectionFailure(.networkUnreachable)).hasPrefix("this machine has no route"))
    #expect(cause(ConnectionFailure(.hostUnreachable)).hasPrefix("a router reports"))
    #expect(cause(.unresolved(name: "a.test", .temporary)).contains("/etc/resolv.conf"))
    #expect(cause(.unresolved(name: "127.0.0.1", .failed("x"))).hasPrefix("-4 and -6"))
    let target = ServerTarget(
      uri: try ServerURI(parsing: "turn:127.0.0.1"), transport: .udp, address: SocketAddress(.ipv4Loopback, port: 9))
    func forbidden(isAboutPeer: Bool) -> String {
      CheckFailure(
        .refused(.forbidden, phrase: "x", alternateServer: nil, isAuthenticated: true), "x", target, CheckOptions(),
        isAboutPeer: isAboutPeer
      ).advice
    }
    #expect(forbidden(isAboutPeer: false).contains("this user"))
    #expect(forbidden(isAboutPeer: true).contains("peer address"))
  }
}
