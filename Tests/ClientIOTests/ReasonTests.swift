import ClientIO
import Crypto
import Dispatch
import Foundation
import NetIO
import NetworkTypes
import STUN
import Synchronization
import Testing
import TLS
import TURNClient

/// Each reason code is caused by a misbehaving server, except those that `CoturnTests` test.
@Suite("Reasons of failed checks", .serialized)
struct ReasonTests {
  static func options(_ change: (inout CheckOptions) -> Void = { _ in }) -> CheckOptions {
    var options = CheckOptions()
    options.timeout = .milliseconds(250)
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

  // MARK: - Reaching the server

  @Test("A port without a listener refuses, over UDP and TCP")
  func noListener() throws {
    let free = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0)).localAddress ?? .none
    for transport in [TransportProtocol.udp, .tcp] {
      let failure = try Self.bind(free, transport)
      #expect(failure?.reason == .refused)
      #expect(failure?.message == "\(free) over \(transport.label): connection refused")
    }
  }

  @Test("A silent server is a timeout over each transport")
  func silence() throws {
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

  @Test("A closed connection and an answer of another protocol have their own reasons")
  func otherProtocols() throws {
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

  @Test("A missing route, a used local port, an unknown name and an unsupported transport have their own reasons")
  func localReasons() throws {
    // The kernel refuses the broadcast, because the socket has no SO_BROADCAST.
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

  @Test("The response of an RFC 3489 server is understood, with its other address")
  func classicServer() throws {
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

  @Test("Each fault of a certificate has its own reason")
  func certificates() throws {
    let now = UnixTime(seconds: Int64(Date().timeIntervalSince1970))
    func identity(_ now: UnixTime) throws -> SelfSignedCertificate {
      try SelfSignedCertificate(commonName: "x", hostNames: ["turn.test"], addresses: [.ipv4Loopback], now: now)
    }
    let good = try identity(now)
    let early = try identity(now.advanced(by: .seconds(40 * 86_400)))
    let old = try identity(now.advanced(by: .seconds(-11 * 365 * 86_400)))
    let cases: [(SelfSignedCertificate, trusted: SelfSignedCertificate, String, CheckFailure.Reason?, String)] = [
      (good, good, "127.0.0.1", nil, ""), (good, good, "turn.test", nil, ""),
      (good, good, "other.test", .tlsName, "it is for turn.test, 127.0.0.1: use such a name"),
      (old, old, "127.0.0.1", .tlsExpired, "the certificate ended on "),
      (early, early, "127.0.0.1", .tlsNotYetValid, "the certificate is valid from "),
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

  @Test("A port without TLS and a refused handshake have their own reasons")
  func failedHandshakes() throws {
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

  @Test("Some test produces each reason")
  func complete() {
    let here: Set<CheckFailure.Reason> = [
      .refused, .timeout, .closed, .notSTUN, .unreachable, .system, .unsupported, .unresolved, .tlsName, .tlsExpired,
      .tlsUntrusted, .tlsNotSpoken, .tls, .credentialsNeeded, .wrongCredentials, .authentication, .integrity,
      .malformed, .echoLost, .tlsNotYetValid, .credentialExpired,
      // CoturnTests, ProgramTests and AddressTests test these.
      .letThrough, .otherSource, .relayedAddress, .mappedAddress,
    ]
    #expect(here.union(Self.refusals.map(\.1)) == Set(CheckFailure.Reason.allCases))
  }
}
