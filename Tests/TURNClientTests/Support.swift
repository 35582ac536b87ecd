import Crypto
import NetworkTypes
import STUN
import TURNClient

func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 + milliseconds * 1_000_000) }

func address(_ text: String) -> SocketAddress { SocketAddress(text) ?? .none }

/// The parts of a request that tests compare.
struct Request: Equatable {
  var method: STUN.Method
  var messageClass: MessageClass
  var transactionID: TransactionID
  var username: String?
  var userHash: [UInt8]?
  var realm: String?
  var nonce: String?
  var lifetime: UInt32?
  var peers: [SocketAddress] = []
  var channel: UInt16?
  var family: UInt8?
  var additionalFamily: UInt8?
  var transport: UInt8?
  var evenPort: Bool?
  var hasIntegrity: Bool
  var hasSHA256: Bool
  var passwordAlgorithm: UInt32?
  var isFingerprintGood: Bool

  init(_ bytes: [UInt8]) throws {
    let message = try MessageView(bytes.span.rawBytes)
    func text(_ value: [UInt8]?) -> String? { value.map { String(decoding: $0, as: UTF8.self) } }
    method = message.type.method
    messageClass = message.type.messageClass
    transactionID = message.transactionID
    username = text(message.value(of: .username)?.copied())
    userHash = message.value(of: .userHash)?.copied()
    realm = text(message.value(of: .realm)?.copied())
    nonce = text(message.value(of: .nonce)?.copied())
    lifetime = try message.lifetime()
    channel = try message.channelNumber()
    family = try message.addressFamily(.requestedAddressFamily)
    additionalFamily = try message.addressFamily(.additionalAddressFamily)
    transport = try message.requestedTransport()
    evenPort = try message.evenPort()
    hasIntegrity = message.has(.messageIntegrity)
    hasSHA256 = message.has(.messageIntegritySHA256)
    passwordAlgorithm = try message.word(.passwordAlgorithm)
    isFingerprintGood = Fingerprint.verify(message) == true
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) {
      peers.append(try xorAddress(message.bytes.extracting(range), transactionID: transactionID))
      offset = range.upperBound
    }
  }
}

/// The server's side of a conversation, as far as the tests need it.
struct ScriptedServer {
  var realm = "example.org"
  var nonce = "first-nonce"
  var username = "alice"
  var password = "secret"
  /// The value of PASSWORD-ALGORITHMS. If set, `nonce` should have the cookie.
  var algorithms: [UInt8]?
  var signsWithSHA256 = false

  var key: Digest {
    let (u, r, p) = (Array(username.utf8), Array(realm.utf8), Array(password.utf8))
    return signsWithSHA256
      ? LongTermKey.sha256(username: u, realm: r, password: p) : LongTermKey.md5(username: u, realm: r, password: p)
  }

  /// A response, by default signed and with a FINGERPRINT.
  func respond(
    to request: [UInt8], _ messageClass: MessageClass = .success, error: ErrorCode? = nil, signed: Bool = true,
    fingerprint: Bool = true, _ body: (inout MessageWriter) -> Void = { _ in }
  ) throws -> [UInt8] {
    let request = try Request(request)
    var writer = MessageWriter(capacity: 2000)
    writer.begin(MessageType(request.method, messageClass), transactionID: request.transactionID)
    if let error { writer.append(error) }
    body(&writer)
    if signed {
      var authenticator = MessageAuthenticator()
      if signsWithSHA256 {
        authenticator.signSHA256(&writer, key: key)
      } else {
        authenticator.sign(&writer, key: key)
      }
    }
    if fingerprint { writer.appendFingerprint() }
    return writer.bytes.copied()
  }

  func challenge(_ request: [UInt8], _ code: ErrorCode = .unauthenticated) throws -> [UInt8] {
    try respond(to: request, .error, error: code, signed: false) { writer in
      writer.append(.realm, text: realm)
      writer.append(.nonce, text: nonce)
      if let algorithms { writer.append(.passwordAlgorithms, algorithms) }
    }
  }

  func grant(
    _ request: [UInt8], relayed: [String] = ["192.0.2.1:50000"], lifetime: UInt32 = 600, signed: Bool = true
  ) throws -> [UInt8] {
    try respond(to: request, signed: signed) { writer in
      for one in relayed { writer.append(.xorRelayedAddress, xor: address(one)) }
      writer.append(.lifetime, lifetime)
      writer.append(.xorMappedAddress, xor: address("198.51.100.7:1234"))
      writer.append(.software, text: "scripted")
    }
  }

  func verify(_ request: [UInt8]) throws -> Bool {
    let message = try MessageView(request.span.rawBytes)
    var authenticator = MessageAuthenticator()
    return signsWithSHA256 ? authenticator.verifySHA256(message, key: key) : authenticator.verify(message, key: key)
  }
}

func makeClient(_ change: (inout ClientAllocation.Settings) -> Void = { _ in }) -> ClientAllocation {
  var settings = ClientAllocation.Settings()
  settings.credential = LongTermCredential(username: "alice", password: "secret")
  change(&settings)
  return ClientAllocation(settings: settings, generator: SeededGenerator(seed: [1, 2, 3]))
}

/// All messages that the client sends now.
func outputs(_ client: inout ClientAllocation) -> [[UInt8]] {
  var result: [[UInt8]] = []
  while let bytes = client.takeOutput() { result.append(bytes) }
  return result
}

func events(_ client: inout ClientAllocation) -> [ClientAllocation.Event] {
  var result: [ClientAllocation.Event] = []
  while let event = client.takeEvent() { result.append(event) }
  return result
}

@discardableResult
func feed(_ client: inout ClientAllocation, _ bytes: [UInt8], _ now: Instant) -> ClientAllocation.Received {
  client.receive(bytes.span.rawBytes, now: now)
}

/// A client that has got its allocation at 40 ms.
func allocated(
  _ server: ScriptedServer, _ change: (inout ClientAllocation.Settings) -> Void = { _ in }
) throws -> ClientAllocation {
  var client = makeClient(change)
  client.allocate(now: at(0))
  feed(&client, try server.challenge(outputs(&client)[0]), at(20))
  feed(&client, try server.grant(outputs(&client)[0]), at(40))
  _ = events(&client)
  return client
}

struct NothingToSend: Error {}

func output(_ probe: inout BindingProbe) throws -> [UInt8] {
  guard let bytes = probe.takeOutput() else { throw NothingToSend() }
  return bytes
}

func feed(_ probe: inout BindingProbe, _ bytes: [UInt8], _ now: Instant) {
  probe.receive(bytes.span.rawBytes, now: now)
}
