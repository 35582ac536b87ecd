import Crypto
import NetworkTypes
import STUN
import Testing
import TestSupport
import TURNClient

@Suite("The life of the client's allocation")
struct LifeTests {
  let server = ScriptedServer()
  let peer = SocketAddress(IPAddress(203, 0, 113, 5), port: 7000)

  @Test("Permission, channel, data in both framings, refresh and deletion work")
  func conversation() throws {
    var client = try allocated(server)
    var writer = MessageWriter(capacity: 1500)
    let data: [UInt8] = [1, 2, 3, 4, 5]

    client.createPermission([peer, address("[2001:db8::5]:1")], now: at(100))
    let permission = outputs(&client)[0]
    #expect(try Request(permission).peers == [peer, address("[2001:db8::5]:1")])
    #expect(try server.verify(permission))
    feed(&client, try server.respond(to: permission), at(110))
    #expect(events(&client).map(\.duration) == [.milliseconds(10)])

    // Without a channel: Send indications out, Data indications in.
    #expect(frame(client: &client, data, to: peer, &writer))
    let send = try Request(writer.bytes.copied())
    #expect(send.method == .send && send.messageClass == .indication && send.peers == [peer])
    let inbound = indication(peer, data)
    #expect(feed(&client, inbound, at(120)) == .data(peer: peer, range: 36..<41, isChannelData: false))

    let channel = client.bindChannel(to: peer, now: at(130))
    #expect(channel?.rawValue == 0x4000)
    let bind = outputs(&client)[0]
    #expect(try Request(bind).channel == 0x4000)
    #expect(feed(&client, [0x40, 0, 0, 5] + data, at(135)) == .discarded(.unexpected))
    feed(&client, try server.respond(to: bind), at(140))
    #expect(frame(client: &client, data, to: peer, &writer))
    #expect(writer.bytes.copied() == [0x40, 0, 0, 5] + data)
    #expect(
      feed(&client, [0x40, 0, 0, 5] + data, at(150)) == .data(peer: peer, range: 4..<9, isChannelData: true))
    // The same peer gets the same channel again.
    #expect(client.bindChannel(to: peer, now: at(160))?.rawValue == 0x4000)
    feed(&client, try server.respond(to: outputs(&client)[0]), at(161))

    client.refresh(now: at(200))
    feed(&client, try server.respond(to: outputs(&client)[0]) { $0.append(.lifetime, UInt32(700)) }, at(210))
    #expect(client.grant?.lifetime == .seconds(700))

    client.delete(now: at(300))
    let deletion = outputs(&client)[0]
    #expect(try Request(deletion).lifetime == 0)
    feed(&client, try server.respond(to: deletion) { $0.append(.lifetime, UInt32(0)) }, at(310))
    #expect(client.state == .ended)
    #expect(events(&client).map(\.operation).last == .delete)
    #expect(client.deadline == nil)
    #expect(feed(&client, [0x40, 0, 0, 5] + data, at(320)) == .discarded(.unexpected))
  }

  @Test("ChannelData is padded over a stream")
  func padding() throws {
    var client = try allocated(server) { $0.isStream = true }
    client.bindChannel(to: peer, now: at(100))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(110))
    var writer = MessageWriter(capacity: 1500)
    #expect(frame(client: &client, [1, 2, 3, 4, 5], to: peer, &writer))
    #expect(writer.bytes.copied() == [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0])
  }

  @Test("Allocation, permissions and channels are refreshed")
  func refreshing() throws {
    var client = try allocated(server)
    client.createPermission([peer], now: at(50))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(60))
    client.bindChannel(to: peer, now: at(60))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(70))
    _ = events(&client)
    var seen: [(UInt64, STUN.Method)] = []
    while let deadline = client.deadline, deadline <= at(1_200_000) {
      client.advance(to: deadline)
      for request in outputs(&client) {
        seen.append(((deadline.nanoseconds - at(0).nanoseconds) / 1_000_000_000, try Request(request).method))
        feed(&client, try server.respond(to: request) { $0.append(.lifetime, UInt32(600)) }, deadline)
      }
    }
    #expect(seen.filter { $0.1 == .refresh }.map(\.0) == [540, 1080])
    #expect(seen.filter { $0.1 == .createPermission }.map(\.0) == [240, 480, 720, 960])
    #expect(seen.filter { $0.1 == .channelBind }.map(\.0) == [540, 1080])
    let automatic = events(&client)
    #expect(automatic.count == seen.count)
    #expect(automatic.allSatisfy { $0.isAutomatic && $0.failure == nil })
  }

  @Test("Without automatic refreshing the client sends nothing by itself")
  func noRefreshing() throws {
    var client = try allocated(server) { $0.refreshesAutomatically = false }
    #expect(client.deadline == nil)
    client.createPermission([peer], now: at(50))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(60))
    #expect(client.deadline == nil)
  }

  @Test("A lost allocation ends the client, a refused permission does not")
  func lostAllocation() throws {
    var client = try allocated(server)
    client.createPermission([peer], now: at(50))
    feed(&client, try server.respond(to: outputs(&client)[0], .error, error: .forbidden), at(60))
    #expect(
      events(&client).map(\.failure)
        == [.refused(.forbidden, phrase: "Forbidden", alternateServer: nil, isAuthenticated: true)])
    #expect(client.state == .allocated)
    client.refresh(now: at(70))
    feed(&client, try server.respond(to: outputs(&client)[0], .error, error: .allocationMismatch), at(80))
    #expect(client.state == .ended)
  }

  @Test("Commands in the wrong state are refused")
  func wrongState() throws {
    var client = makeClient()
    #expect(call { client.refresh(now: at(0)) } == false)
    #expect(call { client.delete(now: at(0)) } == false)
    #expect(call { client.createPermission([peer], now: at(0)) } == false)
    #expect(call { client.bindChannel(to: peer, now: at(0)) == nil })
    #expect(call { client.allocate(now: at(0)) })
    #expect(call { client.allocate(now: at(0)) } == false)
    var ready = try allocated(server)
    #expect(call { ready.createPermission([], now: at(1)) } == false)
    #expect(call { ready.createPermission(Array(repeating: peer, count: 65), now: at(1)) } == false)
    for _ in 0..<ClientAllocation.transactionLimit { #expect(call { ready.refresh(now: at(1)) }) }
    #expect(call { ready.refresh(now: at(1)) } == false)
  }

  @Test("An ICMP indication gives peer, type and code")
  func icmp() throws {
    var client = try allocated(server)
    var writer = MessageWriter()
    writer.begin(MessageType(.data, .indication), transactionID: TransactionID(high: 1, low: 2))
    writer.append(.xorPeerAddress, xor: peer)
    writer.append(.icmp, [0, 0, 6, 3, 0, 0, 0, 0])
    #expect(feed(&client, writer.bytes.copied(), at(50)) == .icmp(peer: peer, type: 3, code: 3))
  }

  @Test("Data too long for a message is refused")
  func longData() throws {
    var client = try allocated(server)
    var writer = MessageWriter(capacity: 70_000)
    #expect(frame(client: &client, [UInt8](repeating: 0, count: 65_503), to: peer, &writer))
    #expect(!frame(client: &client, [UInt8](repeating: 0, count: 65_504), to: peer, &writer))
  }

  @Test("Mutated answers and data are dropped or fail, and never trap")
  func mutated() throws {
    let seed: UInt64 = 0xC11E_0001
    var random = SplitMix(state: seed)
    var client = try allocated(server)
    client.createPermission([peer], now: at(50))
    let permission = try server.respond(to: outputs(&client)[0])
    client.bindChannel(to: peer, now: at(50))
    let bind = outputs(&client)[0]
    feed(&client, try server.respond(to: bind), at(55))
    client.refresh(now: at(56))
    let refusal = try server.challenge(outputs(&client)[0], .staleNonce)
    let corpus: [[UInt8]] = [
      permission, refusal, indication(peer, [1, 2, 3, 4, 5]), [0x40, 0, 0, 5, 1, 2, 3, 4, 5],
      try server.grant(bind, relayed: ["192.0.2.1:5", "[2001:db8::1]:5"], signed: false),
    ]
    var kinds: Set<String> = []
    for round in 0..<100_000 {
      let bytes = random.mutate(corpus[round % corpus.count])
      switch feed(&client, bytes, at(60)) {
      case .data(_, let range, _):
        #expect(range.upperBound <= bytes.count, "seed \(seed)")
        kinds.insert("data")
      case .icmp: kinds.insert("icmp")
      case .response: kinds.insert("response")
      case .discarded(let reason): kinds.insert("\(reason)")
      }
      _ = outputs(&client)
      _ = events(&client)
    }
    #expect(kinds.isSuperset(of: ["data", "response", "notSTUN", "wrongFingerprint", "unexpected", "malformed"]))
  }

  @Test("Mutated Binding responses are dropped or fail, and never trap")
  func bindingMutations() throws {
    let seed: UInt64 = 0xC11E_0002
    var random = SplitMix(state: seed)
    var generator = SeededGenerator(seed: [4])
    var successes = 0
    for _ in 0..<20_000 {
      var probe = BindingProbe(isStream: false, generator: &generator, now: at(0))
      let request = try output(&probe)
      let response = try server.respond(to: request, signed: false, fingerprint: Bool.random(using: &random)) {
        $0.append(.xorMappedAddress, xor: peer)
        $0.append(.software, text: "x")
        $0.append(.otherAddress, plain: peer)
      }
      feed(&probe, random.mutate(response), at(1))
      if case .success? = probe.outcome { successes += 1 }
    }
    #expect(successes > 100)
  }
}

// MARK: - Helpers

func call(_ body: () -> Bool) -> Bool { body() }

func frame(client: inout ClientAllocation, _ data: [UInt8], to peer: SocketAddress, _ writer: inout MessageWriter)
  -> Bool
{
  client.frame(data.span.rawBytes, to: peer, into: &writer)
}

func indication(_ peer: SocketAddress, _ data: [UInt8]) -> [UInt8] {
  var writer = MessageWriter()
  writer.begin(MessageType(.data, .indication), transactionID: TransactionID(high: 1, low: 2))
  writer.append(.xorPeerAddress, xor: peer)
  writer.append(.data, data)
  return writer.bytes.copied()
}
