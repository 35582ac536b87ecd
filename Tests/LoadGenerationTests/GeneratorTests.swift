import Crypto
import Foundation
import NetIO
import NetworkTypes
import TLS
import TURNClient
import Testing

@testable import LoadGeneration

/// Against a server that others wrote.
@Suite(.serialized, .enabled(if: Coturn.isInstalled, "coturn is not installed")) struct GeneratorTests {
  private func settings(_ work: LoadSettings.Work, port: UInt16) -> LoadSettings {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: port))
    settings.work = work
    settings.credential = LongTermCredential(username: "load", password: "test")
    settings.duration = 200
    settings.warmUp = 50
    settings.allocations = 4
    settings.pace = .window(16)
    return settings
  }

  @Test func packetsGoThroughRelaysInEveryDirectionAndFraming() throws {
    let server = try Coturn()
    for direction in [.toPeer, .toClient, .echo] as [LoadSettings.Direction] {
      for usesIndications in [false, true] {
        var settings = settings(.relay, port: server.port)
        settings.direction = direction
        settings.usesIndications = usesIndications
        settings.serverProcess = server.processIdentifier
        let result = try LoadGenerator.run(settings)
        #expect(result.sent > 0 && result.lost == 0 && result.failures == 0, "\(direction), \(usesIndications)")
        #expect(result.serverTime != nil)
      }
    }
  }

  @Test func packetsGoFromRelayToRelay() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.relayToRelay, port: server.port))
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test func runsLeaveAndArriveInOnePiece() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.segments = true
    settings.coalesces = true
    settings.burst = 8
    settings.direction = .echo
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test func aTCPLegCarriesPackets() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.transport = .tcp
    settings.direction = .echo
    settings.payloadByteCount = 173
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test(arguments: TransportProtocol.allCases)
  func aSearchFindsARateThatIsKeptWithoutLoss(transport: TransportProtocol) throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.transport = transport
    settings.tls = try TLSContext(client: .none, isDatagram: transport == .dtls)
    settings.direction = .echo
    settings.pace = .search
    settings.serverName = "127.0.0.1"
    settings.trialDuration = 60
    let result = try LoadGenerator.run(settings)
    let found = try #require(result.foundRate)
    #expect(found > 100, "over \(transport)")
    // The rate counts packets sent, and each comes back. A window this short is not exact: what was on its way when it
    // began is counted in it.
    if result.isConfirmed { #expect(result.perSecond < Double(found) * 3) }
    #expect(result.failures == 0)
  }

  @Test func theProgramSearchesAndSaysSo() throws {
    let server = try Coturn()
    let (status, output, _) = try turnload(
      ["--search", "--json", "--duration", "0.1", "--warm-up", "0", "binding", "stun:127.0.0.1:\(server.port)"])
    let document = try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    // A machine that is busy meanwhile does not bear out what the trials found, and that is told.
    let isConfirmed = try #require(document["confirmed"] as? Bool)
    #expect(status == (isConfirmed ? 0 : 1), "\(output)")
    #expect((document["settings"] as? [String: Any])?["search"] as? Bool == true)
    #expect((document["found_rate"] as? Int ?? 0) > 100)
    let (refused, _, error) = try turnload(["binding", "stun:203.0.113.5"])
    #expect(refused == 3 && error.contains("203.0.113.5 is neither a loopback nor a private address"))
  }

  /// The program beside the test bundle: its exit status and what it printed.
  private func turnload(_ arguments: [String]) throws -> (Int32, String, String) {
    let process = Process()
    let (output, errors) = (Pipe(), Pipe())
    process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appending(path: "turnload")
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    let error = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text, error)
  }

  @Test func associationsOfDTLSCarryPacketsBothWaysAndAreMadeOverAndOver() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.transport = .dtls
    settings.serverName = "127.0.0.1"
    settings.tls = try TLSContext(client: .none, isDatagram: true)
    settings.payloadByteCount = 173
    for direction in [.toPeer, .toClient, .echo] as [LoadSettings.Direction] {
      settings.direction = direction
      let result = try LoadGenerator.run(settings)
      #expect(result.sent > 0 && result.lost == 0 && result.failures == 0, "\(direction)")
    }
    settings.work = .allocate
    let made = try LoadGenerator.run(settings)
    #expect(made.completed > 0 && made.failures == 0)
    settings.work = .binding
    #expect(try LoadGenerator.run(settings).lost == 0)
  }

  @Test func allocationsAreMadeAndGivenBackOverAndOver() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.allocate, port: server.port))
    #expect(result.completed > 0 && result.failures == 0)
  }

  @Test func allocationsAreHeld() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.hold, port: server.port))
    #expect(result.completed == 4)
  }

  @Test func aPacedRateIsKept() throws {
    let server = try Coturn()
    var settings = settings(.binding, port: server.port)
    settings.pace = .rate(500)
    settings.duration = 1000
    let result = try LoadGenerator.run(settings)
    #expect((300...600).contains(result.perSecond))
  }

  @Test func aWrongPasswordEndsTheSetUp() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.credential = LongTermCredential(username: "load", password: "wrong")
    #expect(throws: LoadError.self) { try LoadGenerator.run(settings) }
  }
}

@Suite struct SilenceTests {
  @Test func aSilentServerIsAFailureAndNotAResult() throws {
    // Bound, so that nobody else answers, and never read.
    let silent = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0))
    let address = silent.localAddress
    var settings = LoadSettings(server: try #require(address))
    settings.duration = 100
    settings.warmUp = 0
    #expect(throws: LoadError.self) { try LoadGenerator.run(settings) }
    settings.work = .relay
    settings.timeout = 100
    #expect(throws: LoadError.silence(waitingFor: "Allocate")) { try LoadGenerator.run(settings) }
  }

  @Test func theFloorIsMeasuredWithoutAServer() throws {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: 9))
    settings.work = .floor
    settings.duration = 100
    let result = try LoadGenerator.run(settings)
    #expect(result.completed > 0 && result.lost == 0 && (result.ownTime ?? 0) > 0)
  }
}

/// Debian's coturn on the loopback address, ended with the value.
private final class Coturn {
  static let path = "/usr/bin/turnserver"
  static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }

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
