import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import TLS
import TURNClient
import TestSupport

/// The built `turnpike`, running on loopback in a state directory of its own until this value ends.
final class RunningServer {
  let port: UInt16
  var tlsPort: UInt16 { port + 1 }
  let directory: URL
  private let ownsDirectory: Bool
  /// What it has printed on standard output once it was ready.
  private(set) var line = ""
  private let process: Child
  private let output = Pipe()
  private let log = LogReader()

  struct NotStarted: Error {
    var log: String
  }

  /// Starts it with UDP and TCP on `port`, TLS and DTLS on the next, on every IPv4 address, and waits until it is ready.
  init(
    port: UInt16, _ settings: [String] = [], environment: [String: String] = [:], listeners: String? = nil,
    users: Bool = true, configuration: String? = nil, directory given: URL? = nil, waitsForLine: Bool = true,
    wrapper: [String] = []
  ) throws {
    self.port = port
    directory = given ?? FileManager.default.temporaryDirectory.appending(path: "turnpike-\(UUID().uuidString)")
    ownsDirectory = given == nil
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let listeners =
      listeners ?? "udp://0.0.0.0:\(port),tcp://0.0.0.0:\(port),tls://0.0.0.0:\(port + 1),dtls://0.0.0.0:\(port + 1)"
    var all = [
      "state-directory=\(directory.path)", "listeners=\(listeners)", "relay.addresses=127.0.0.1", "workers=2",
      "drain-timeout=0s", "log.level=debug",
    ]
    if users { all.append("auth.users=alice=secret,bob=hunter2") }
    let arguments = (configuration.map { ["--config", $0] } ?? []) + (all + settings).flatMap { ["--set", $0] }
    let errors = Pipe()
    process = try Child(
      wrapper.first ?? Self.program, wrapper.isEmpty ? arguments : wrapper.dropFirst() + [Self.program] + arguments,
      environment: environment, output: .pipe(output), errors: .pipe(errors))
    log.follow(errors.fileHandleForReading)
    guard log.wait(for: " ready ", seconds: 10) else { throw NotStarted(log: log.text) }
    if !users, configuration == nil, waitsForLine { line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }
  }

  deinit {
    process.kill()
    if ownsDirectory { try? FileManager.default.removeItem(at: directory) }
  }

  static let program = Places.program("turnpike")

  func send(_ signal: Int32) { process.send(signal) }

  func waitForEnd() -> Int32 { process.wait() }

  /// What it printed that nobody has read yet; to be asked after its end.
  var remainingOutput: String { String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }

  var isRunning: Bool { process.isRunning }
  var processIdentifier: Int32 { process.identifier }

  func logs(_ text: String, seconds: Double = 5) -> Bool { log.wait(for: text, seconds: seconds) }

  /// Runs another command of the program on the same state.
  func command(_ arguments: [String], input: String = "") throws -> (status: Int32, output: String) {
    let run = try Child.run(
      Self.program, arguments + ["--set", "state-directory=\(directory.path)"], environment: [:], input: input)
    return (run.status, run.output)
  }

  /// A session of a user, over a connection of its own.
  func session(
    _ username: String = "alice", _ password: String = "secret", transport: TransportProtocol = .udp, port: UInt16? = nil,
    from local: IPAddress? = nil, serverName: String = "localhost"
  ) throws -> AllocationSession {
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: username, password: password)
    let connection = try ClientConnection(
      ClientConnection.Settings(
        transport: transport, remote: SocketAddress(.ipv4Loopback, port: port ?? (transport.isSecure ? tlsPort : self.port)),
        local: local.map { SocketAddress($0, port: 0) }, serverName: serverName,
        tls: transport.isSecure ? try TLSContext(client: .none, isDatagram: transport == .dtls) : nil),
      until: Instant.read().advanced(bySeconds: 5))
    return AllocationSession(connection, settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
  }
}

/// Collects what a pipe brings, and lets somebody wait for a text in it.
private final class LogReader: @unchecked Sendable {
  // @unchecked: everything is guarded by the condition.
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
