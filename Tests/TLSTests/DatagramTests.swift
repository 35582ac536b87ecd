import NetworkTypes
import Testing
import TestSupport
import System
import TLS

/// Both ends of DTLS, without sockets.
struct DatagramEnds: ~Copyable {
  var client: DTLSEngine
  var server: DTLSEngine

  static let cookieKey = HelloCookieKey([UInt8](repeating: 7, count: 32))

  init(_ identity: Identity, serverName: String = "127.0.0.1", labels: [String] = []) throws {
    let server = try DTLSEngine(
      server: TLSContext(server: identity.files, isDatagram: true), cookieKey: Self.cookieKey)
    let client = try DTLSEngine(
      client: TLSContext(client: identity.authorities, isDatagram: true), serverName: serverName,
      applicationProtocols: labels)
    self.server = server
    self.client = client
  }

  /// The client's next datagrams.
  mutating func fromClient() -> [[UInt8]] { takeDatagrams(&client) }
  mutating func fromServer() -> [[UInt8]] { takeDatagrams(&server) }

  /// Exchanges hello, cookie, and hello with cookie. Returns the server's result for the second hello.
  mutating func greet(from peer: [UInt8] = [1], then later: [UInt8]? = nil, at: UInt64 = 0, later seconds: UInt64 = 0)
    throws -> DTLSEngine.ListenResult
  {
    client.handshake()
    let hello = try #require(fromClient().first)
    #expect(
      server.listen(hello.span.rawBytes, from: peer, at: Instant(nanoseconds: at * 1_000_000_000)) == .cookieAsked)
    let answer = try #require(fromServer().first)
    #expect(answer.count < hello.count)
    hand(answer, to: &client)
    let second = try #require(fromClient().first)
    return server.listen(second.span.rawBytes, from: later ?? peer, at: Instant(nanoseconds: seconds * 1_000_000_000))
  }

  /// Exchanges datagrams until both ends are silent. Returns the messages that each end read.
  @discardableResult
  mutating func exchange(losing isLost: (Int) -> Bool = { _ in false }) -> (client: [[UInt8]], server: [[UInt8]]) {
    var toClient: [[UInt8]] = []
    var toServer = readDatagrams(&server)
    var number = 0
    for _ in 0..<100 {
      let up = fromClient()
      let down = fromServer()
      if up.isEmpty, down.isEmpty { break }
      for datagram in up {
        number += 1
        if !isLost(number) { toServer += hand(datagram, to: &server) }
      }
      for datagram in down {
        number += 1
        if !isLost(number) { toClient += hand(datagram, to: &client) }
      }
    }
    return (toClient, toServer)
  }
}

func takeDatagrams(_ engine: inout DTLSEngine) -> [[UInt8]] {
  var result: [[UInt8]] = []
  while engine.hasOutput {
    result.append(engine.datagram.copied())
    engine.removeDatagram()
  }
  return result
}

@discardableResult
func hand(_ datagram: [UInt8], to engine: inout DTLSEngine) -> [[UInt8]] {
  engine.receive(datagram.span.rawBytes)
  return readDatagrams(&engine)
}

func readDatagrams(_ engine: inout DTLSEngine) -> [[UInt8]] {
  var result: [[UInt8]] = []
  var buffer = [UInt8](repeating: 0, count: 20_000)
  while true {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    guard case .bytes(let count) = engine.read(into: &bytes) else { return result }
    result.append(Array(buffer.prefix(count)))
  }
}

@Suite("DTLS between two engines")
struct DatagramTests {
  @Test(
    "After the cookie the handshake completes, and messages keep their boundaries",
    arguments: ["127.0.0.1", "turn.example.org"])
  func handshake(name: String) throws {
    var ends = try DatagramEnds(Identity(), serverName: name, labels: ["stun.turn"])
    #expect(try ends.greet() == .verified)
    ends.exchange()
    let isEstablished = (ends.client.isEstablished, ends.server.isEstablished)
    #expect(isEstablished == (true, true))
    let summary = ends.client.summary
    #expect(summary.version == "DTLSv1.2")
    #expect(summary.applicationProtocol == "stun.turn")
    #expect(summary.complaint == nil)
    let requested = ends.server.requestedServerName
    #expect(requested == (name == "127.0.0.1" ? nil : name))
    for size in [1, 20, 1200, DTLSEngine.messageLimit] {
      let message = [UInt8](repeating: 5, count: size)
      let sent = ends.client.write(message.span.rawBytes)
      #expect(sent == .written)
      #expect(ends.exchange().server == [message])
      _ = ends.server.write(message.span.rawBytes)
      #expect(ends.exchange().client == [message])
    }
    let tooLarge = [UInt8](repeating: 5, count: DTLSEngine.messageLimit + 1)
    let refused = ends.client.write(tooLarge.span.rawBytes)
    #expect(refused == .failed(TLSError(.limit, "one message too large")))
  }

  @Test("A cookie is valid for its own address only, and for one to two minutes")
  func cookie() throws {
    let identity = try Identity()
    for (other, seconds, expected): ([UInt8], UInt64, DTLSEngine.ListenResult) in [
      ([1], 59, .verified), ([1], 119, .verified), ([1], 120, .cookieAsked), ([2], 0, .cookieAsked),
    ] {
      var ends = try DatagramEnds(identity)
      let result = try ends.greet(from: [1], then: other, later: seconds)
      #expect(result == expected, "\(other) \(seconds)")
    }
  }

  @Test("One engine answers any number of clients and keeps no state of them")
  func stateless() throws {
    let identity = try Identity()
    var server = try DTLSEngine(
      server: TLSContext(server: identity.files, isDatagram: true), cookieKey: DatagramEnds.cookieKey)
    let context = try TLSContext(client: identity.authorities, isDatagram: true)
    for peer in 0..<100 as Range<UInt8> {
      var client = try DTLSEngine(client: context, serverName: "127.0.0.1")
      client.handshake()
      let hello = takeDatagrams(&client)
      let first = try #require(hello.first)
      #expect(server.listen(first.span.rawBytes, from: [peer], at: Instant(nanoseconds: 0)) == .cookieAsked)
      let answer = takeDatagrams(&server)
      #expect(answer.map(\.count) == [44])
    }
  }

  @Test("A lost datagram of the handshake is retransmitted", arguments: 1...12)
  func lostDatagram(lost: Int) throws {
    var ends = try DatagramEnds(Identity())
    #expect(try ends.greet() == .verified)
    ends.client.makeImpatient()
    ends.server.makeImpatient()
    ends.exchange { $0 == lost }
    var rounds = 0
    while !(ends.client.isEstablished && ends.server.isEstablished), rounds < 20 {
      rounds += 1
      // OpenSSL's timeout runs by its own clock, so the test waits for it.
      while (ends.client.timeout ?? ends.server.timeout ?? .zero) > .zero {}
      let isAlive = ends.client.handleTimeout()
      let isServerAlive = ends.server.handleTimeout()
      #expect(isAlive && isServerAlive)
      ends.exchange()
    }
    let isEstablished = (ends.client.isEstablished, ends.server.isEstablished)
    #expect(isEstablished == (true, true))
  }

  @Test("Random bytes never trap and never make an association")
  func hostileBytes() throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("DTLS mutation seed \(seed)")
    var random = SplitMix(state: seed)
    let identity = try Identity()
    let context = try TLSContext(client: identity.authorities, isDatagram: true)
    var client = try DTLSEngine(client: context, serverName: "127.0.0.1")
    client.handshake()
    let first = takeDatagrams(&client)
    let hello = try #require(first.first)
    var server = try DTLSEngine(
      server: TLSContext(server: identity.files, isDatagram: true), cookieKey: DatagramEnds.cookieKey)
    for _ in 0..<20_000 {
      var bytes = hello
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))) }
      #expect(server.listen(bytes.span.rawBytes, from: [1], at: Instant(nanoseconds: 0)) != .verified)
      _ = takeDatagrams(&server)
    }
    #expect(server.listen(hello.span.rawBytes, from: [1], at: Instant(nanoseconds: 0)) == .cookieAsked)
  }

  @Test("A record too short to be authentic does not end the association")
  func shortRecord() throws {
    for length in 0..<UInt8(40) {
      var ends = try DatagramEnds(Identity())
      #expect(try ends.greet() == .verified)
      ends.exchange()
      _ = ends.client.write([1].span.rawBytes)
      var stub = try #require(ends.fromClient().first)
      // The low byte of the record's length.
      stub[12] = length
      _ = hand(stub, to: &ends.server)
      _ = ends.client.write([2].span.rawBytes)
      #expect(hand(try #require(ends.fromClient().first), to: &ends.server) == [[2]], "\(length) bytes")
    }
  }

  @Test("Mutated records of a live association are ignored")
  func mutated() throws {
    let seed = UInt64.random(in: 0 ... .max)
    print("DTLS record mutation seed \(seed)")
    var random = SplitMix(state: seed)
    var ends = try DatagramEnds(Identity())
    #expect(try ends.greet() == .verified)
    ends.exchange()
    for round in 0..<5_000 {
      let message = [UInt8(truncatingIfNeeded: round)]
      _ = ends.client.write(message.span.rawBytes)
      var datagram = try #require(ends.fromClient().first)
      let good = datagram
      let place = Int.random(in: 0..<datagram.count, using: &random)
      datagram[place] ^= .random(in: 1...255, using: &random)
      let seen = hand(datagram, to: &ends.server)
      // The record's number is authenticated, its length is not. No altered data may be read.
      #expect(seen.isEmpty, "byte \(place)")
      #expect(hand(good, to: &ends.server) == [message])
    }
  }
}
