import ClientIO
import Crypto
import Foundation
import NetworkTypes
import TestSupport
import TLS
import TURNClient

/// Debian's coturn on loopback. It is killed when this value is released.
final class Coturn {
  static let path = "/usr/bin/turnserver"
  static let isInstalled = FileManager.default.isExecutableFile(atPath: path)

  let port: UInt16
  var tlsPort: UInt16 { port + 1 }
  let folder: TemporaryDirectory
  private let process: Child

  /// Starts coturn and waits until it answers. It has the user alice with password secret in realm example.org, unless
  /// `users` is false.
  init(port: UInt16, users: Bool = true, _ options: [String] = []) throws {
    self.port = port
    folder = try TemporaryDirectory()
    let pair = try SelfSignedCertificate(
      commonName: "coturn", hostNames: ["turn.test"], addresses: [.ipv4Loopback],
      now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
    process = try Child(
      Self.path,
      [
        "-n", "--no-stdout-log", "--log-file", folder.path("log"), "--simple-log", "--userdb", folder.path("db"),
        "--pidfile", folder.path("pid"), "--no-cli", "--cli-password", "x", "-p", "\(port)", "--tls-listening-port",
        "\(port + 1)", "--cert", try folder.write(pair.certificate, to: "cert.pem"), "--pkey",
        try folder.write(pair.key, to: "key.pem"), "-r", "example.org", "--allow-loopback-peers", "-L", "127.0.0.1",
        "-L", "::1",
      ] + (users ? ["--lt-cred-mech", "-u", "alice:secret"] : []) + options)
    try waitUntilItAnswers()
  }

  /// Kills the server; its ports have no listener after this.
  func stop() { process.kill() }

  func file(_ name: String) -> String { folder.path(name) }

  var address: SocketAddress { SocketAddress(.ipv4Loopback, port: port) }

  /// A target on this server.
  func target(_ transport: TransportProtocol = .udp) -> ServerTarget {
    let port = transport.isSecure ? tlsPort : port
    let uri = ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: port)
    return ServerTarget(uri: uri, transport: transport, address: SocketAddress(.ipv4Loopback, port: port))
  }

  private struct NotStarted: Error {}

  private func waitUntilItAnswers() throws {
    var generator = SeededGenerator(seed: [7])
    var options = CheckOptions()
    options.timeout = .milliseconds(200)
    options.tls = try TLSContext(client: .none)
    options.dtls = try TLSContext(client: .none, isDatagram: true)
    // A starting server refuses connections at once, so the rounds are short. Its TLS port opens last.
    for _ in 0..<200 {
      guard process.isRunning else { break }
      let reports = [TransportProtocol.udp, .tcp, .tls, .dtls].map {
        BindingCheck.run(target($0), options, generator: &generator)
      }
      if reports.allSatisfy({ $0.verdict == nil }) { return }
      usleep(50_000)
    }
    throw NotStarted()
  }
}

/// A finished run of the `stunclient` program.
struct Run {
  var status: Int32
  var output: String
  var error: String

  static let program = URL(filePath: Paths.program("stunclient"))

  init(
    _ arguments: [String], environment: [String: String] = [:], input: String? = nil, program: URL = program
  ) throws {
    let run = try Child.run(program.path, arguments, environment: environment, input: input ?? "")
    status = run.status
    output = run.output
    error = run.errors
  }
}
