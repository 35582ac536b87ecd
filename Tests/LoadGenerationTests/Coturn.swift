import Foundation
import NetIO
import NetworkTypes
import Synchronization
import System
import TestSupport
import TLS

/// Debian's coturn on loopback. It is killed when this value is released.
final class Coturn {
  static let path = "/usr/bin/turnserver"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }

  static let credentials = ["TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "test"]

  let port: UInt16
  private let process: Child
  private let folder: TemporaryDirectory

  var processIdentifier: Int { Int(process.identifier) }

  var tlsPort: UInt16 { port }

  /// Ports below the kernel's ephemeral range, each used once. A port in that range could be given to another test's
  /// socket before coturn binds it.
  private static let nextPort = Atomic<UInt16>(31_000)

  struct NotStarted: Error {
    var port: UInt16
    var isRunning: Bool
  }

  /// - Parameter allowsLoopback: whether coturn relays to loopback addresses, which the peers have.
  init(allowsLoopback: Bool = true) throws {
    port = Self.nextPort.wrappingAdd(1, ordering: .relaxed).oldValue
    folder = try TemporaryDirectory()
    let pair = try SelfSignedCertificate(
      commonName: "coturn", hostNames: [], addresses: [.ipv4Loopback],
      now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
    // coturn recognises TLS on its plain port.
    process = try Child(
      Self.path,
      [
        "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", "\(port)", "-m", "1", "--lt-cred-mech", "-u", "load:test",
        "-r", "test", "--no-cli", "--tls-listening-port", "\(port)", "--cert",
        try folder.write(pair.certificate, to: "cert.pem"), "--pkey", try folder.write(pair.key, to: "key.pem"),
        "--no-rfc5780", "--no-stdout-log", "--log-file", "/dev/null", "--simple-log", "--pidfile", "/dev/null",
        "--userdb", folder.path("db"),
      ] + (allowsLoopback ? ["--allow-loopback-peers"] : []))
    // coturn is ready when it accepts a TCP connection. This can take long on a busy machine.
    let deadline = Instant.read().advanced(by: .seconds(60))
    while Instant.read() < deadline, process.isRunning {
      let socket = try ClientSocket.tcp(to: SocketAddress(.ipv4Loopback, port: port))
      if Readiness.wait(for: socket.rawValue, writing: true, until: deadline), socket.takePendingError() == nil,
        waitForDatagrams(until: deadline)
      {
        return
      }
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
    }
    throw NotStarted(port: port, isRunning: process.isRunning)
  }

  /// coturn accepts datagrams a moment later than connections. A lost first request would be retransmitted only after
  /// the end of a short run.
  private func waitForDatagrams(until deadline: Instant) -> Bool {
    let binding: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12)
    guard let socket = try? ClientSocket.udp(to: SocketAddress(.ipv4Loopback, port: port)) else { return false }
    while Instant.read() < deadline, process.isRunning {
      // The send may report an ICMP error of the previous attempt instead.
      _ = try? socket.send(binding.span.rawBytes)
      let timeout = Instant.read().advanced(by: .milliseconds(50))
      guard Readiness.wait(for: socket.rawValue, writing: false, until: timeout) else { continue }
      if socket.takePendingError() == nil { return true }
    }
    return false
  }
}
