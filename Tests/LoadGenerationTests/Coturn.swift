import Foundation
import NetIO
import NetworkTypes
import TLS

/// Debian's coturn on the loopback address, ended with the value.
final class Coturn {
  static let path = "/usr/bin/turnserver"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }

  static let credentials = ["TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "test"]

  let port: UInt16
  private let process = Process()
  private let folder: URL

  var processIdentifier: Int { Int(process.processIdentifier) }

  init() throws {
    // A port that nobody has: coturn shares a taken one (SO_REUSEPORT), and another run's server would answer too.
    port = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0)).localAddress?.port ?? 0
    folder = FileManager.default.temporaryDirectory.appending(path: "turnload-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let pair = try SelfSignedCertificate(
      commonName: "coturn", hostNames: [], addresses: [.ipv4Loopback], now: Int64(Date().timeIntervalSince1970))
    try Data(pair.certificate).write(to: folder.appending(path: "cert.pem"))
    try Data(pair.key).write(to: folder.appending(path: "key.pem"))
    process.executableURL = URL(fileURLWithPath: Self.path)
    // TLS is told apart on the one port.
    process.arguments = [
      "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", "\(port)", "-m", "1", "--lt-cred-mech", "-u", "load:test", "-r",
      "test",
      "--allow-loopback-peers", "--no-cli", "--tls-listening-port", "\(port)", "--cert",
      folder.appending(path: "cert.pem").path, "--pkey", folder.appending(path: "key.pem").path, "--no-rfc5780",
      "--no-stdout-log", "--log-file",
      "/dev/null", "--simple-log", "--pidfile", "/dev/null",
      "--userdb", folder.appending(path: "db").path,
    ]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
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

  deinit {
    // Asked nicely it waits for its allocations to end.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: folder)
  }
}
