import Crypto
import NetworkTypes
import STUN

@testable import TURN

/// A client of RFC 8489. It stores the offer of the challenge, and each test decides what to answer to it.
struct ModernClient {
  let client: TestClient
  var nonce: [UInt8] = []
  var list: [UInt8] = []

  static let sha256Key = LongTermKey.sha256(
    username: Array("alice".utf8), realm: Array(Conversation.realm.utf8), password: Array("secret".utf8))
  static let userHash = LongTermKey.userHash(
    username: Array("alice".utf8), realm: Array(Conversation.realm.utf8))

  init(_ conversation: Conversation, address: String = "192.0.2.7:5000") {
    client = TestClient(conversation, address)
    guard let challenge = client.challenge(), let message = try? MessageView(challenge.bytes.span.rawBytes) else {
      return
    }
    nonce = message.value(of: .nonce)?.copied() ?? []
    list = message.value(of: .passwordAlgorithms)?.copied() ?? []
  }

  enum Integrity { case sha1, sha256, both, truncated(Int), none }

  /// A request whose parts the caller chooses.
  func request(
    _ method: STUN.Method = .allocate, user: (AttributeType, [UInt8])? = (.username, Array("alice".utf8)),
    realm: [UInt8]? = Array(Conversation.realm.utf8), nonce: [UInt8]? = nil, hasNonce: Bool = true,
    list: [UInt8]?? = .none, algorithm: [UInt8]? = nil, integrity: Integrity, key: Digest
  ) -> [UInt8] {
    var writer = MessageWriter(capacity: 2048)
    client.conversation.nextTransaction += 1
    writer.begin(
      MessageType(method, .request), transactionID: TransactionID(high: 9, low: client.conversation.nextTransaction))
    if method == .allocate { writer.append(.requestedTransport, UInt32(17) << 24) }
    if let user { writer.append(user.0, user.1) }
    if let realm { writer.append(.realm, realm) }
    if hasNonce { writer.append(.nonce, nonce ?? self.nonce) }
    if let list { if let list { writer.append(.passwordAlgorithms, list) } }
    if let algorithm { writer.append(.passwordAlgorithm, algorithm) }
    var authenticator = MessageAuthenticator()
    switch integrity {
    case .none: break
    case .sha1: authenticator.sign(&writer, key: key)
    case .sha256: authenticator.signSHA256(&writer, key: key)
    case .both:
      authenticator.sign(&writer, key: key)
      authenticator.signSHA256(&writer, key: key)
    case .truncated(let count):
      authenticator.signSHA256(&writer, key: key)
      var bytes = writer.bytes.copied()
      // The header's length field is authenticated, so another length needs another MAC.
      let start = bytes.count - 36
      bytes.removeLast(36)
      let length = UInt16(start + 4 + count - 20)
      bytes[2] = UInt8(length >> 8)
      bytes[3] = UInt8(length & 0xFF)
      var context = HMACContext(.sha256)
      let mac = context.authenticate(bytes.span.rawBytes, key: key.bytes).array.prefix(count)
      return bytes + [0x00, 0x1C, 0x00, UInt8(count)] + mac
    }
    return writer.bytes.copied()
  }

  func ask(_ bytes: [UInt8]) -> (code: UInt16?, isSuccess: Bool, message: [UInt8])? {
    guard let answer = client.ask(bytes) else { return nil }
    return (answer.code, answer.type.messageClass == .success, answer.bytes)
  }

  /// The integrity attributes of a message that are valid for the key.
  static func signatures(_ bytes: [UInt8], key: Digest) -> [AttributeType] {
    guard let message = try? MessageView(bytes.span.rawBytes) else { return [] }
    var authenticator = MessageAuthenticator()
    var found: [AttributeType] = []
    if message.has(.messageIntegrity), authenticator.verify(message, key: key) { found.append(.messageIntegrity) }
    if message.has(.messageIntegritySHA256), authenticator.verifySHA256(message, key: key) {
      found.append(.messageIntegritySHA256)
    }
    return found
  }
}
