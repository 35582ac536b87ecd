import ClientIO
import Crypto
import JSON
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing

/// Configuration keys that no other suite tests on the running program. `BehaviourTests` of ConfigurationTests names
/// the test of each key.
@Suite("The behaviour of configuration keys", .serialized)
struct KeyBehaviourTests {
  func start(_ number: UInt16, _ settings: [String] = []) throws -> RunningServer {
    let port = PortBlock.keys[number]
    return try RunningServer(
      port: port, ["peers.allow=127.0.0.0/8"] + settings,
      listeners: "udp://127.0.0.1:\(port),tcp://127.0.0.1:\(port)")
  }

  func client(_ server: RunningServer, _ name: String = "alice", _ password: String = "secret") throws -> StreamClient {
    StreamClient(
      try Stream(to: SocketAddress(.ipv4Loopback, port: server.port)), username: name, password: password)
  }

  static let peer = SocketAddress("127.0.0.1:9")!

  /// An Allocate of a relayed UDP address.
  @discardableResult
  func allocate(_ client: StreamClient, lifetime: UInt32? = nil) throws -> StreamClient.Answer {
    try client.ask(.allocate) {
      $0.append(.requestedTransport, UInt32(17) << 24)
      if let lifetime { $0.append(.lifetime, lifetime) }
    }
  }

  func bind(_ client: StreamClient, _ number: UInt16, _ peer: SocketAddress = peer) throws -> UInt16? {
    try client.ask(.channelBind) {
      $0.append(.channelNumber, UInt32(number) << 16)
      $0.append(.xorPeerAddress, xor: peer)
    }.code
  }

  func value(_ attribute: AttributeType, of bytes: [UInt8]) throws -> [UInt8]? {
    try MessageView(bytes.span.rawBytes).value(of: attribute)?.copied()
  }

  // MARK: - General

  @Test(
    "software is in the answers to authenticated requests, unless it is empty", arguments: ["Turnpike of a test", ""])
  func software(text: String) throws {
    let server = try start(0, ["software=\(text)"])
    let answer = try allocate(try client(server))
    #expect(try value(.software, of: answer.bytes) == (text.isEmpty ? nil : Array(text.utf8)))
  }

  @Test(
    "Binding requests without a magic cookie are answered if rfc3489 is true", arguments: [true, false])
  func classic(isOn: Bool) throws {
    let server = try start(1, ["rfc3489=\(isOn)"])
    let socket = try ClientSocket.udp(to: SocketAddress(.ipv4Loopback, port: server.port))
    let classic: [UInt8] = [0, 1, 0, 0] + (1...16)
    _ = try socket.send(classic.span.rawBytes)
    // The server answers the request with a magic cookie after it has handled the classic one.
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 2))
    _ = try socket.send(writer.bytes)
    var answers: [[UInt8]] = []
    var buffer = ReceiveBuffer()
    while answers.last?[4...7] != [0x21, 0x12, 0xA4, 0x42] {
      try #require(Readiness.wait(for: socket.rawValue, until: Instant.read().advanced(by: .seconds(5))))
      if case .bytes(let count) = buffer.receiveDatagram(socket) { answers.append(buffer.prefix(count)) }
    }
    #expect(answers.count == (isOn ? 2 : 1))
    if isOn { #expect(Array(answers[0][..<2]) == [1, 1] && Array(answers[0][4..<20]) == Array(1...16)) }
  }

  @Test("rfc5766-channels allows the channels above 0x4FFF", arguments: [true, false])
  func oldChannels(isOn: Bool) throws {
    let server = try start(2, ["rfc5766-channels=\(isOn)"])
    let client = try client(server)
    try allocate(client)
    #expect(try bind(client, 0x5001) == (isOn ? nil : 400))
    #expect(try bind(client, 0x4001, SocketAddress("127.0.0.1:10")!) == nil)
  }

  @Test("public-name is the host of the printed URLs")
  func publicName() throws {
    let port = PortBlock.keys[3]
    let server = try RunningServer(
      port: port, ["public-name=turn.example.org"], listeners: "udp://127.0.0.1:\(port)", users: false)
    #expect(server.line.contains("\"turn:turn.example.org:\(port)?transport=udp\""), "\(server.line)")
  }

  @Test("workers is the number of shards", arguments: [1, 3])
  func workers(count: Int) throws {
    let port = PortBlock.keys[4]
    let server = try start(4, ["workers=\(count)", "admin.listen=127.0.0.1:\(port + 2)"])
    #expect(try AdminClient(port: port + 2, of: server).document("/api/v1/status")["shards"]?.array?.count == count)
  }

  @Test("realm is the REALM of challenges")
  func realm() throws {
    let server = try start(5, ["realm=example.net"])
    let client = try client(server)
    try client.stream.send(client.request(.allocate))
    #expect(try value(.realm, of: try client.stream.receiveMessage()) == Array("example.net".utf8))
  }

  @Test("Relayed addresses have the ports of relay.ports; without a free one Allocate gives 508")
  func relayPorts() throws {
    let port = PortBlock.keys[6]
    let server = try start(6, ["relay.ports=\(port + 4)-\(port + 7)", "limits.allocations-per-user=0"])
    let clients = try (0..<5).map { _ in try client(server) }
    let answers = try clients.map { try allocate($0) }
    #expect(Set(answers.compactMap { $0.relayed?.port }) == Set(port + 4...port + 7))
    #expect(answers.compactMap(\.code) == [508])
  }

  @Test("relay.advertise is the relayed address that clients get")
  func advertise() throws {
    let server = try start(18, ["relay.advertise=127.0.0.1=203.0.113.9"])
    #expect(try allocate(try client(server)).relayed?.address == IPAddress(203, 0, 113, 9))
  }

  // MARK: - Credentials

  @Test("auth.nonce-lifetime: an older nonce is stale")
  func nonceLifetime() throws {
    let server = try start(7, ["auth.nonce-lifetime=1s"])
    let client = try client(server)
    try allocate(client)
    #expect(try AdminServerTests().soon { try client.ask(.refresh).code == 438 })
  }

  @Test(
    "auth.on-credential-expiry keeps an expired name's allocation, refuses its Refresh or closes it",
    arguments: ["keep", "no-refresh", "close"])
  func credentialExpiry(policy: String) throws {
    let server = try start(8, ["auth.on-credential-expiry=\(policy)", "auth.secrets=north", "auth.nonce-lifetime=1h"])
    let end = Now.read().wall.advanced(by: .seconds(2))
    let name = "\(end):carol"
    let password = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array("north".utf8))
    let client = try client(server, name, String(decoding: password, as: UTF8.self))
    #expect(try allocate(client).code == nil)
    #expect(try client.ask(.refresh).code == nil)
    if policy == "close" {
      #expect(server.logs("allocation-closed"))
      #expect(Now.read().wall >= end)
      return
    }
    #expect(try AdminServerTests().soon { Now.read().wall > end })
    let code = try client.ask(.refresh).code
    #expect((code == nil) == (policy == "keep"), "\(code ?? 0)")
  }

  @Test("auth.hook-secret and events.secret sign requests", arguments: ["auth.hook", "events.webhook"])
  func signature(key: String) throws {
    // This peer receives all headers; the tests' HTTP server keeps only standard ones.
    let receiver = try StreamPeer()
    let secret = key == "auth.hook" ? "auth.hook-secret=s3cret" : "events.secret=s3cret"
    let server = try start(9, ["\(key)=http://\(receiver.address)/turn", secret, "auth.store="])
    let isHook = key == "auth.hook"
    let client = try client(server, isHook ? "carol" : "alice", isHook ? "x" : "secret")
    try client.challenge()
    try client.stream.send(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    let asked = try receiver.accept()
    var head = ""
    while !head.hasSuffix("\r\n\r\n") { head += String(decoding: try asked.receive(1), as: UTF8.self) }
    let lines = head.split(separator: "\r\n").map(String.init)
    func header(_ name: String) throws -> String {
      let line = try #require(lines.first { $0.hasPrefix(name + ": ") }, "\(head)")
      return String(line.dropFirst(name.count + 2))
    }
    let body = try asked.receive(try #require(Int(try header("Content-Length"))))
    var context = HMACContext(.sha256)
    let (secretBytes, message) = (Array("s3cret".utf8), Array("\(try header("Turnpike-Timestamp")).".utf8) + body)
    let digest = context.authenticate(message.span.rawBytes, key: secretBytes.span.rawBytes)
    let digits = digest.array.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined()
    #expect(try header("Turnpike-Signature") == "sha256=\(digits)")
  }

  @Test(
    "auth.password-algorithms are the PASSWORD-ALGORITHMS of the challenge",
    arguments: [("md5", [1]), ("sha256", [2]), ("sha256,md5", [2, 1])])
  func passwordAlgorithms(list: String, numbers: [UInt8]) throws {
    let server = try start(10, ["auth.password-algorithms=\(list)"])
    let client = try client(server)
    try client.stream.send(client.request(.allocate))
    let offer = try #require(try value(.passwordAlgorithms, of: try client.stream.receiveMessage()))
    #expect(offer == numbers.flatMap { [0, $0, 0, 0] })
  }

  @Test("redirect.server and redirect.domain are in the answer to an Allocate with credentials")
  func redirect() throws {
    let server = try start(11, ["redirect.server=192.0.2.7:3479", "redirect.domain=turn.example.org"])
    let answer = try allocate(try client(server))
    #expect(answer.code == 300)
    #expect(try value(.alternateServer, of: answer.bytes) == [0, 1, 0x0D, 0x97, 192, 0, 2, 7])
    #expect(try value(.alternateDomain, of: answer.bytes) == Array("turn.example.org".utf8))
  }

  // MARK: - Peers and lifetimes

  @Test("peers.deny refuses a range that is allowed otherwise")
  func denied() throws {
    let server = try start(12, ["peers.deny=127.7.0.0/16"])
    let client = try client(server)
    try allocate(client)
    #expect(try client.permit(SocketAddress("127.7.1.1:9")!).code == 403)
    #expect(try client.permit(SocketAddress("127.8.1.1:9")!).code == nil)
  }

  @Test("lifetime.default and lifetime.maximum are in the answers to Allocate")
  func lifetimes() throws {
    let server = try start(13, ["lifetime.default=700s", "lifetime.maximum=800s"])
    for (wish, granted) in [(nil, 700), (100_000, 800), (750, 750)] as [(UInt32?, UInt32)] {
      let answer = try allocate(try client(server), lifetime: wish)
      let bytes = try #require(try value(.lifetime, of: answer.bytes))
      #expect(bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } == granted)
    }
  }

  @Test(
    "A permission or channel that is not refreshed ends after lifetime.permission or lifetime.channel",
    arguments: [("permission", "no_permission"), ("channel", "no_channel")])
  func ends(what: String, cause: String) throws {
    let port = PortBlock.keys[14]
    let server = try start(
      14, ["lifetime.\(what)=1s", "admin.listen=127.0.0.1:\(port + 2)"])
    let client = try client(server)
    try allocate(client)
    if what == "permission" { _ = try client.permit(Self.peer) } else { _ = try bind(client, 0x4001) }
    let admin = AdminClient(port: port + 2, of: server)
    let dropped = "turnpike_drops_total{cause=\"\(cause)\"}"
    let relayed = "turnpike_relayed_packets_total{direction=\"to_peers\"}"
    #expect(
      try AdminServerTests().soon {
        try client.stream.send(what == "permission" ? Self.indication() : [0x40, 1, 0, 4, 1, 2, 3, 4])
        return try admin.metrics()[dropped] ?? 0 > 0
      })
    #expect(try admin.metrics()[relayed] ?? 0 > 0)
  }

  static func indication(_ byteCount: Int = 3) -> [UInt8] {
    var writer = MessageWriter()
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 9, low: SecureRandom.word()))
    writer.append(.xorPeerAddress, xor: peer)
    writer.append(.data, [UInt8](repeating: 7, count: byteCount))
    return writer.bytes.copied()
  }
}
