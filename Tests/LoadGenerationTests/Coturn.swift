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
        return
      }
      Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 20))
    }
    throw CocoaError(.featureUnsupported)
  }
}
