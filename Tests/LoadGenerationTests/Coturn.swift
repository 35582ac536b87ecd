import Foundation
import NetIO
import NetworkTypes
import TLS
import TestSupport

/// Debian's coturn on the loopback address, ended with the value.
final class Coturn {
  static let path = "/usr/bin/turnserver"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }

  static let credentials = ["TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "test"]

  let port: UInt16
  private let process: Child
  private let folder: TemporaryDirectory

  var processIdentifier: Int { Int(process.identifier) }

  init() throws {
    // A port that nobody has: coturn shares a taken one (SO_REUSEPORT), and another run's server would answer too.
    port = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0)).localAddress?.port ?? 0
    folder = try TemporaryDirectory()
    let pair = try SelfSignedCertificate(
      commonName: "coturn", hostNames: [], addresses: [.ipv4Loopback], now: Int64(Date().timeIntervalSince1970))
    // TLS is told apart on the one port.
    process = try Child(
      Self.path,
      [
        "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", "\(port)", "-m", "1", "--lt-cred-mech", "-u", "load:test",
        "-r", "test", "--allow-loopback-peers", "--no-cli", "--tls-listening-port", "\(port)", "--cert",
        try folder.write(pair.certificate, to: "cert.pem"), "--pkey", try folder.write(pair.key, to: "key.pem"),
        "--no-rfc5780", "--no-stdout-log", "--log-file", "/dev/null", "--simple-log", "--pidfile", "/dev/null",
        "--userdb", folder.path("db"),
      ])
    // It listens once a TCP connection is taken.
    let deadline = Instant.read().advanced(bySeconds: 20)
    while Instant.read() < deadline {
      let socket = try ClientSocket.tcp(to: SocketAddress(.ipv4Loopback, port: port))
      if Readiness.wait(for: socket.rawValue, writing: true, until: deadline), socket.takePendingError() == nil {
        try waitForDatagrams(until: deadline)
        return
      }
      Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 20))
    }
    throw CocoaError(.featureUnsupported)
  }

  /// It takes datagrams a moment later than connections: a first request that is lost would be sent again only when a
  /// short run is over.
  private func waitForDatagrams(until deadline: Instant) throws {
    let binding: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12)
    let socket = try ClientSocket.udp(to: SocketAddress(.ipv4Loopback, port: port))
    while Instant.read() < deadline {
      // An ICMP error of the last try may be reported in place of sending.
      _ = try? socket.send(binding.span.rawBytes)
      let patience = Instant.read().advanced(byMilliseconds: 50)
      guard Readiness.wait(for: socket.rawValue, writing: false, until: patience) else { continue }
      if socket.takePendingError() == nil { return }
    }
    throw CocoaError(.featureUnsupported)
  }
}
