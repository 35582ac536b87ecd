import Foundation
import NetIO
import NetworkTypes
import TLS
import TURNClient
import TestSupport
import Testing

@testable import LoadGeneration

/// Tests the generator with coturn.
@Suite("The load generator", .serialized, .enabled(if: Coturn.isInstalled, "coturn is not installed"))
struct GeneratorTests {
  private func settings(_ work: LoadSettings.Work, port: UInt16) -> LoadSettings {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: port))
    settings.work = work
    settings.credential = LongTermCredential(username: "load", password: "test")
    settings.duration = .milliseconds(200)
    settings.warmUp = .milliseconds(50)
    settings.allocations = 4
    settings.pace = .window(16)
    return settings
  }

  @Test("Packets pass relays in every direction and framing")
  func relay() throws {
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

  @Test("Packets pass from relay to relay")
  func relayToRelay() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.relayToRelay, port: server.port))
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test("No packet is lost with segmentation offload and receive coalescing")
  func segments() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.segments = true
    settings.coalesces = true
    settings.burst = 8
    settings.direction = .echo
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test("A TCP connection carries packets")
  func tcp() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.transport = .tcp
    settings.direction = .echo
    settings.payloadByteCount = 173
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 0 && result.lost == 0)
  }

  @Test("A search finds a rate without loss", .tags(.slow), arguments: TransportProtocol.allCases)
  func search(transport: TransportProtocol) throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.transport = transport
    settings.tls = try TLSContext(client: .none, isDatagram: transport == .dtls)
    settings.direction = .echo
    settings.pace = .search
    settings.serverName = "127.0.0.1"
    settings.trialDuration = .milliseconds(60)
    let result = try LoadGenerator.run(settings)
    let found = try #require(result.foundRate)
    #expect(found > 100, "over \(transport)")
    // The rate counts sent packets, and each comes back. In a window this short it is not exact: packets that were in
    // flight at its start count too.
    if result.isConfirmed { #expect(result.perSecond < Double(found) * 3) }
    #expect(result.failures == 0)
  }

  @Test("DTLS associations carry packets both ways and are made repeatedly", .tags(.slow))
  func dtls() throws {
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

  @Test("Allocations are created and deleted repeatedly")
  func allocate() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.allocate, port: server.port))
    #expect(result.completed > 0 && result.failures == 0)
  }

  @Test("Allocations are held")
  func hold() throws {
    let server = try Coturn()
    let result = try LoadGenerator.run(settings(.hold, port: server.port))
    #expect(result.completed == 4)
  }

  @Test("A given rate is kept")
  func rate() throws {
    let server = try Coturn()
    var settings = settings(.binding, port: server.port)
    settings.pace = .rate(500)
    settings.duration = .milliseconds(1000)
    let result = try LoadGenerator.run(settings)
    #expect((300...600).contains(result.perSecond))
  }

  @Test("A wrong password ends the preparation")
  func wrongPassword() throws {
    let server = try Coturn()
    var settings = settings(.relay, port: server.port)
    settings.credential = LongTermCredential(username: "load", password: "wrong")
    #expect(throws: LoadError.self) { try LoadGenerator.run(settings) }
  }
}

@Suite("The load generator without coturn")
struct SilenceTests {
  @Test("A silent server is a failure, not a result")
  func silentServer() throws {
    // The socket is bound, so that no other program answers, and is never read.
    let silent = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0))
    let address = silent.localAddress
    var settings = LoadSettings(server: try #require(address))
    settings.duration = .milliseconds(100)
    settings.warmUp = .milliseconds(0)
    #expect(throws: LoadError.self) { try LoadGenerator.run(settings) }
    settings.work = .relay
    settings.timeout = .milliseconds(100)
    #expect(throws: LoadError.silence(waitingFor: "Allocate")) { try LoadGenerator.run(settings) }
  }

  @Test("The floor is measured without a server")
  func floor() throws {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: 9))
    settings.work = .floor
    settings.duration = .milliseconds(100)
    let result = try LoadGenerator.run(settings)
    #expect(result.completed > 0 && result.lost == 0 && (result.ownTime ?? .zero) > .zero)
  }

  @Test("The floor at a fixed rate counts only the CPU time of the forwarding thread")
  func floorAtRate() throws {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: 9))
    settings.work = .floor
    settings.duration = .milliseconds(200)
    settings.pace = .rate(1000)
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 100 && result.sent <= 201)
    #expect(result.completed == result.sent)
    // The generator's thread is busy all the time: its 200 ms of CPU time must not be counted.
    let own = try #require(result.ownTime)
    #expect(own > .zero && own < .milliseconds(150))
  }
}
