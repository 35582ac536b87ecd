import Crypto
import NetworkTypes
import STUN
import Testing
import TURNClient

@Suite("Retransmission of requests")
struct RetransmissionTests {
  /// The times of sends and of the end in milliseconds, with a poll every 100 ms.
  static func run(_ isStream: Bool, _ settings: Retransmission.Settings) -> (sends: [UInt64], end: UInt64) {
    var retransmission = Retransmission(isStream: isStream, settings: settings, now: at(0))
    var sends: [UInt64] = []
    for tick in stride(from: UInt64(0), through: 100_000, by: 100) {
      switch retransmission.advance(to: at(tick)) {
      case .wait: break
      case .send: sends.append(tick)
      case .giveUp: return (sends, tick)
      }
    }
    return (sends, .max)
  }

  @Test("Over UDP the intervals are those of RFC 8489, 6.2.1")
  func datagrams() {
    let (sends, end) = Self.run(false, .init())
    #expect(sends == [500, 1500, 3500, 7500, 15_500, 31_500])
    #expect(end == 39_500)
  }

  @Test("Over a stream a request is sent once, with the same total timeout")
  func streams() {
    let (sends, end) = Self.run(true, .init())
    #expect(sends == [])
    #expect(end == 39_500)
  }

  @Test("A time limit ends the transaction earlier")
  func limit() {
    var settings = Retransmission.Settings()
    settings.limit = .seconds(2)
    let (sends, end) = Self.run(false, settings)
    #expect(sends == [500, 1500])
    #expect(end == 2000)
  }

  @Test("Absurd settings neither trap nor hang")
  func absurdSettings() {
    let absurd: [(Duration, Int, UInt32)] = [
      (.seconds(Int64.max), Int.max, .max), (.seconds(-1), 0, 0), (.zero, 0, 0), (.milliseconds(1), 1, 1),
      (.milliseconds(1), 40, .max),
    ]
    for (initial, count, wait) in absurd {
      var settings = Retransmission.Settings()
      settings.initialTimeout = initial
      settings.requestCount = count
      settings.lastWait = wait
      var retransmission = Retransmission(isStream: false, settings: settings, now: at(0))
      for _ in 0..<100 { _ = retransmission.advance(to: retransmission.deadline) }
    }
  }
}

@Suite("Binding")
struct BindingProbeTests {
  func probe(_ now: Instant = at(0)) -> BindingProbe {
    var generator = SeededGenerator(seed: [9])
    return BindingProbe(isStream: false, generator: &generator, now: now)
  }

  let server = ScriptedServer()

  @Test("A response gives the mapped address and the round-trip time")
  func response() throws {
    var probe = probe()
    let request = try output(&probe)
    #expect(try Request(request).isFingerprintGood)
    #expect((try? output(&probe)) == nil)
    let response = try server.respond(to: request, signed: false) {
      $0.append(.xorMappedAddress, xor: address("[2001:db8::9]:4242"))
      $0.append(.software, text: "test")
      $0.append(.otherAddress, plain: address("192.0.2.9:3479"))
    }
    feed(&probe, response, at(25))
    let answer = try #require(try probe.outcome?.get())
    #expect(answer.mappedAddress == address("[2001:db8::9]:4242"))
    #expect(answer.isXORMapped && answer.hasFingerprint)
    #expect(answer.software == "test")
    #expect(answer.otherAddress == address("192.0.2.9:3479"))
    #expect(answer.roundTrip == .milliseconds(25))
    #expect(answer.transmissions == 1)
  }

  @Test("A lost request is retransmitted unchanged, and the round trip counts from there")
  func retransmission() throws {
    var probe = probe()
    let request = try output(&probe)
    probe.advance(to: at(499))
    #expect((try? output(&probe)) == nil)
    probe.advance(to: at(500))
    #expect((try? output(&probe)) == request)
    let response = try server.respond(to: request, signed: false) {
      $0.append(.mappedAddress, plain: address("192.0.2.9:1"))
    }
    feed(&probe, response, at(510))
    let answer = try #require(try probe.outcome?.get())
    #expect(answer.roundTrip == .milliseconds(10))
    #expect(answer.transmissions == 2)
    #expect(!answer.isXORMapped)
    #expect(probe.deadline == nil)
  }

  @Test("Other datagrams are dropped, and the timeout names the reason")
  func strayDatagrams() throws {
    let cases: [(Discarded?, (inout [UInt8]) -> Void)] = [
      (.notSTUN, { $0 = [1, 2, 3] }), (.unknownTransaction, { $0[12] ^= 1 }), (.wrongFingerprint, { $0[30] ^= 1 }),
      (nil, { $0 = [] }),
    ]
    for (reason, change) in cases {
      var probe = probe()
      let request = try output(&probe)
      var response = try server.respond(to: request, signed: false) {
        $0.append(.xorMappedAddress, xor: address("192.0.2.9:1"))
      }
      change(&response)
      if !response.isEmpty { feed(&probe, response, at(1)) }
      #expect(probe.outcome == nil)
      while probe.outcome == nil, let deadline = probe.deadline { probe.advance(to: deadline) }
      #expect(probe.outcome == .failure(.timeout(transmissions: 7, discarded: reason)))
    }
  }

  @Test("An error response and a success without an address end the transaction")
  func outcomes() throws {
    var probe = probe()
    let request = try output(&probe)
    let response = try server.respond(to: request, .error, error: .tryAlternate, signed: false) {
      $0.append(.alternateServer, plain: address("192.0.2.77:3478"))
    }
    feed(&probe, response, at(1))
    #expect(
      probe.outcome
        == .failure(
          .refused(
            .tryAlternate, phrase: "Try Alternate", alternateServer: address("192.0.2.77:3478"), isAuthenticated: true))
    )

    var second = self.probe()
    let again = try output(&second)
    feed(&second, try server.respond(to: again, signed: false), at(1))
    #expect(second.outcome == .failure(.malformed("the response has no XOR-MAPPED-ADDRESS")))
  }
}
