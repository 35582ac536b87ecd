import ClientIO
import Crypto
import Foundation
import NetworkTypes
import TLS
import TURNClient

/// Debian's coturn on loopback, for as long as this value lives.
final class Coturn {
  static let path = "/usr/bin/turnserver"
  static let isInstalled = FileManager.default.isExecutableFile(atPath: path)

  let port: UInt16
  var tlsPort: UInt16 { port + 1 }
  let folder: URL
  private let process = Process()

  /// Starts it and waits until it answers. Users: alice with password secret in realm example.org, unless `options`
  /// bring their own mechanism.
  init(port: UInt16, users: Bool = true, _ options: [String] = []) throws {
    self.port = port
    folder = FileManager.default.temporaryDirectory.appending(path: "coturn-\(port)-\(UInt64.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let pair = try SelfSignedCertificate(
      commonName: "coturn", hostNames: ["turn.test"], addresses: [.ipv4Loopback],
      now: Int64(Date().timeIntervalSince1970))
    try Data(pair.certificate).write(to: folder.appending(path: "cert.pem"))
    try Data(pair.key).write(to: folder.appending(path: "key.pem"))
    process.executableURL = URL(filePath: Self.path)
    process.arguments =
      [
        "-n", "--no-stdout-log", "--log-file", file("log"), "--simple-log", "--userdb", file("db"), "--pidfile",
        file("pid"), "--no-cli", "--cli-password", "x", "-p", "\(port)", "--tls-listening-port",
        "\(port + 1)", "--cert", file("cert.pem"), "--pkey", file("key.pem"), "-r", "example.org",
        "--allow-loopback-peers", "-L", "127.0.0.1", "-L", "::1",
      ] + (users ? ["--lt-cred-mech", "-u", "alice:secret"] : []) + options
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    try waitUntilItAnswers()
  }

  deinit {
    // Asked nicely it waits for its allocations to end.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: folder)
  }

  func file(_ name: String) -> String { folder.appending(path: name).path }

  var address: SocketAddress { SocketAddress(.ipv4Loopback, port: port) }

  /// A target on it.
  func target(_ transport: TransportProtocol = .udp) -> ServerTarget {
    let port = transport.isSecure ? tlsPort : port
    let uri = ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: port)
    return ServerTarget(uri: uri, transport: transport, address: SocketAddress(.ipv4Loopback, port: port))
  }

  private struct NotStarted: Error {}

  private func waitUntilItAnswers() throws {
    var generator = SeededGenerator(seed: [7])
    var options = CheckOptions()
    options.timeout = 200
    options.tls = try TLSContext(client: .none)
    options.dtls = try TLSContext(client: .none, isDatagram: true)
    // Refused at once while it starts, so the rounds are short; TLS comes up last.
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

  /// The program beside the test bundle.
  static let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "stunclient")

  init(
    _ arguments: [String], environment: [String: String] = [:], input: String? = nil, program: URL = program
  ) throws {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.environment = environment
    let (out, err, into) = (Pipe(), Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    process.standardInput = into
    try process.run()
    try into.fileHandleForWriting.write(contentsOf: Data((input ?? "").utf8))
    try into.fileHandleForWriting.close()
    output = String(decoding: try out.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    error = String(decoding: try err.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    status = process.terminationStatus
  }
}
