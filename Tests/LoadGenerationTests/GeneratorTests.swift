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

  @Test func theFloorAtARateCountsOnlyTheThreadThatPassesOn() throws {
    var settings = LoadSettings(server: SocketAddress(.ipv4Loopback, port: 9))
    settings.work = .floor
    settings.duration = 200
    settings.pace = .rate(1000)
    let result = try LoadGenerator.run(settings)
    #expect(result.sent > 100 && result.sent <= 201)
    #expect(result.completed == result.sent)
    // The generator never sleeps: its 200 ms would show.
    let own = try #require(result.ownTime)
    #expect(own > 0 && own < 150_000_000)
  }
}
