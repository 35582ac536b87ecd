import System
import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import TestSupport
import TLS
import TURNClient

/// A running `turnpike` from this build, on loopback with its own state directory. It is killed when this value is
/// released.
final class RunningServer {
  let port: UInt16
  var tlsPort: UInt16 { port + 1 }
  let directory: URL
  private let ownsDirectory: Bool
  /// The line that the server printed on standard output when it was ready.
  private(set) var line = ""
  private let process: Child
  private let output = Pipe()
  private let errors = Pipe()
  private let log = LogReader()

  struct NotStarted: Error {
    var log: String
  }

  /// Starts the server on every IPv4 address, with UDP and TCP on `port` and TLS and DTLS on the next port, and waits
  /// until it is ready.
  ///
  /// - Parameters:
  ///   - isConfiguredByFile: whether only `configuration` and `settings` configure the server.
  ///   - coturn: a turnserver.conf in place of `configuration`.
  init(
    port: UInt16, _ settings: [String] = [], environment: [String: String] = [:], listeners: String? = nil,
    users: Bool = true, drainTimeout: String? = "0s", configuration: String? = nil, directory given: URL? = nil,
    waitsForLine: Bool = true, wrapper: [String] = [], ready: String = " ready ", isConfiguredByFile: Bool = false,
    coturn: String? = nil
  ) throws {
    self.port = port
    directory = given ?? FileManager.default.temporaryDirectory.appending(path: "turnpike-\(UUID().uuidString)")
    ownsDirectory = given == nil
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let listeners =
      listeners ?? "udp://0.0.0.0:\(port),tcp://0.0.0.0:\(port),tls://0.0.0.0:\(port + 1),dtls://0.0.0.0:\(port + 1)"
    var all = [
      "state-directory=\(directory.path)", "listeners=\(listeners)", "relay.addresses=127.0.0.1", "workers=2",
      "log.level=debug", "log.privacy=full", "admin.listen=",
    ]
    if let drainTimeout { all.append("drain-timeout=\(drainTimeout)") }
    if users { all.append("auth.users=alice=secret,bob=hunter2") }
    if isConfiguredByFile { all = [] }
    let file = configuration.map { ["--config", $0] } ?? coturn.map { ["serve", "--coturn", $0] } ?? []
    let arguments = file + (all + settings).flatMap { ["--set", $0] }
    process = try Child(
      wrapper.first ?? Self.program, wrapper.isEmpty ? arguments : wrapper.dropFirst() + [Self.program] + arguments,
      environment: environment, output: .pipe(output), errors: .pipe(errors))
    log.follow(errors.fileHandleForReading)
    guard log.wait(for: ready, seconds: 10) else { throw NotStarted(log: log.text) }
    // If the line does not come, it stays empty, and the test fails.
    if !users, configuration == nil, waitsForLine,
      Readiness.wait(for: output.fileHandleForReading.fileDescriptor, until: Instant.read().advanced(by: .seconds(5)))
    {
      line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    }
  }

  deinit {
    process.kill()
    if ownsDirectory { try? FileManager.default.removeItem(at: directory) }
  }

  static let program = Paths.program("turnpike")

  func send(_ signal: Int32) { process.send(signal) }

  func waitForEnd() -> Int32 { process.wait() }

  /// The unread rest of the server's output; valid after its end.
  var remainingOutput: String { String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }

  var isRunning: Bool { process.isRunning }
  var processIdentifier: Int32 { process.identifier }

  /// Stops reading the server's standard error, so that the pipe fills, as with a log collector that has stopped.
  func stopReadingLog() { errors.fileHandleForReading.readabilityHandler = nil }

  func readLogAgain() { log.follow(errors.fileHandleForReading) }

  /// The log up to now.
  var logText: String { log.text }

  func logs(_ text: String, seconds: Double = 5) -> Bool { log.wait(for: text, seconds: seconds) }

  /// A command that runs another one as an ordinary user if this process is root.
  static let asOrdinaryUser =
    geteuid() == 0 ? ["/usr/bin/setpriv", "--reuid", "3478", "--regid", "3478", "--clear-groups"] : []

  /// Whether the log has this text now.
  func logged(_ text: String) -> Bool { log.text.contains(text) }

  /// Runs another command of the program with the same state directory.
  func command(_ arguments: [String], input: String = "") throws -> (status: Int32, output: String) {
    let run = try Child.run(
      Self.program, arguments + ["--set", "state-directory=\(directory.path)"], environment: [:], input: input)
    return (run.status, run.output)
  }

  /// A session of a user over a new connection.
  func session(
    _ username: String = "alice", _ password: String = "secret", transport: TransportProtocol = .udp,
    port: UInt16? = nil,
    from local: IPAddress? = nil, serverName: String = "localhost"
  ) throws -> AllocationSession {
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: username, password: password)
    let connection = try ClientConnection(
      ClientConnection.Settings(
        transport: transport,
        remote: SocketAddress(.ipv4Loopback, port: port ?? (transport.isSecure ? tlsPort : self.port)),
        local: local.map { SocketAddress($0, port: 0) }, serverName: serverName,
        tls: transport.isSecure ? try TLSContext(client: .none, isDatagram: transport == .dtls) : nil),
      until: Instant.read().advanced(by: .seconds(5)))
    return AllocationSession(connection, settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
  }
}

/// Collects the output of a pipe; a test can wait for a text in it.
private final class LogReader: @unchecked Sendable {
  // @unchecked: the condition guards all mutable state.
  private let condition = NSCondition()
  private var content = ""
  private var isOver = false

  var text: String { condition.withLock { content } }

  func follow(_ handle: FileHandle) {
    handle.readabilityHandler = { [weak self] handle in
      let data = handle.availableData
      if data.isEmpty { handle.readabilityHandler = nil }
      self?.condition.withLock {
        self?.isOver = data.isEmpty
        self?.content += String(decoding: data, as: UTF8.self)
        self?.condition.broadcast()
      }
    }
  }

  func wait(for text: String, seconds: Double) -> Bool {
    let deadline = Date(timeIntervalSinceNow: seconds)
    condition.lock()
    defer { condition.unlock() }
    while !content.contains(text), !isOver, condition.wait(until: deadline) {}
    return content.contains(text)
  }
}
