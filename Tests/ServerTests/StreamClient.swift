import Crypto
import NetworkTypes
import STUN

/// Sends a user's requests over a stream, signed if a nonce is known.
final class StreamClient {
  let stream: Stream
  private var nonce: [UInt8] = []
  private let username: String
  private let key: Digest

  init(_ stream: Stream, username: String = "alice", password: String = "secret", realm: String = "turnpike") {
    self.stream = stream
    self.username = username
    key = LongTermKey.md5(
      username: Array(username.utf8), realm: Array(realm.utf8), password: Array(password.utf8))
  }

  struct Answer {
    var bytes: [UInt8]
    var code: UInt16?
    var connectionID: UInt32?
    var relayed: SocketAddress?
    var ticket: [UInt8]?
    var peer: SocketAddress?
    var type: MessageType?

    init(_ bytes: [UInt8]) throws {
      let message = try MessageView(bytes.span.rawBytes)
      self.bytes = bytes
      type = message.type
      code = (try? message.errorCode())?.code.rawValue
      connectionID = try? message.word(.connectionID)
      relayed = try? message.xorAddress(.xorRelayedAddress)
      peer = try? message.xorAddress(.xorPeerAddress)
      ticket = message.value(of: .mobilityTicket)?.copied()
    }
  }

  func request(
    _ method: Method, byHash: Bool = false, _ body: (inout MessageWriter) -> Void = { _ in }
  ) -> [UInt8] {
    var writer = MessageWriter()
    writer.begin(MessageType(method, .request), transactionID: TransactionID(high: 9, low: SecureRandom.word()))
    body(&writer)
    if !nonce.isEmpty {
      if byHash {
        let hash = LongTermKey.userHash(username: Array(username.utf8), realm: Array("turnpike".utf8))
        writer.append(.userHash, hash.array)
      } else {
        writer.append(.username, text: username)
      }
      writer.append(.realm, text: "turnpike")
      writer.append(.nonce, nonce)
      var authenticator = MessageAuthenticator()
      authenticator.sign(&writer, key: key)
    }
    return writer.bytes.copied()
  }

  /// Gets a nonce.
  func challenge(_ method: Method = .allocate) throws {
    try stream.send(request(method))
    let bytes = try stream.receiveMessage()
    let message = try MessageView(bytes.span.rawBytes)
    nonce = message.value(of: .nonce)?.copied() ?? []
  }

  func ask(_ method: Method, _ body: (inout MessageWriter) -> Void = { _ in }) throws -> Answer {
    if nonce.isEmpty { try challenge(method) }
    try stream.send(request(method, body))
    return try Answer(try stream.receiveMessage())
  }

  func allocateTCP() throws -> SocketAddress {
    let answer = try ask(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) }
    guard let relayed = answer.relayed else { throw Stream.Failure(what: "Allocate: \(answer.code ?? 0)") }
    return relayed
  }

  func connect(_ peer: SocketAddress) throws -> Answer { try ask(.connect) { $0.append(.xorPeerAddress, xor: peer) } }

  func permit(_ peer: SocketAddress) throws -> Answer {
    try ask(.createPermission) { $0.append(.xorPeerAddress, xor: peer) }
  }

  func bindConnection(_ identifier: UInt32) throws -> Answer {
    try ask(.connectionBind) { $0.append(.connectionID, identifier) }
  }
}
