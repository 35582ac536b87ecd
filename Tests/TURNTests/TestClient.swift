import Crypto
import NetworkTypes
import STUN
import Tables
@testable import TURN

/// The answer to a client's request.
struct Answer: Equatable {
  var type: MessageType
  var code: UInt16?
  var nonce: [UInt8]?
  var relayedAddress: SocketAddress?
  /// All relayed addresses; a dual allocation has two.
  var relayedAddresses: [SocketAddress] = []
  /// ADDRESS-ERROR-CODE: family and code.
  var addressError: [UInt16]?
  var mappedAddress: SocketAddress?
  var lifetime: UInt32?
  var token: UInt64?
  var unknown: [UInt8]?
  /// MOBILITY-TICKET.
  var ticket: [UInt8]?
  var connectionID: UInt32?
  var isSigned: Bool
  var bytes: [UInt8]
}

/// A client in a conversation, with one address.
final class TestClient {
  let conversation: Conversation
  let path: ClientPath
  var username = "alice"
  var key: Digest? = Conversation.key
  var nonce: [UInt8] = []
  var realm = Conversation.realm

  init(
    _ conversation: Conversation, _ address: String = "192.0.2.7:5000", transport: TransportProtocol = .udp,
    endpoint: UInt16 = 0, connection: UInt32 = 3, realm number: UInt8 = 0
  ) {
    self.conversation = conversation
    path = ClientPath(
      address: SocketAddress(address)!, endpoint: EndpointID(rawValue: endpoint), transport: transport,
      connection: transport != .udp ? Handle(index: connection, generation: 1) : nil,
      realm: RealmID(rawValue: number))
  }

  /// A request of this client with the attributes that `body` adds, signed if the client has a nonce.
  func request(
    _ method: Method, transaction: UInt64? = nil, signs: Bool = true, _ body: (inout MessageWriter) -> Void = { _ in },
    afterIntegrity: (inout MessageWriter) -> Void = { _ in }
  ) -> [UInt8] {
    var writer = MessageWriter(capacity: 8192)
    conversation.nextTransaction += 1
    writer.begin(
      MessageType(method, .request),
      transactionID: TransactionID(high: 7, low: transaction ?? conversation.nextTransaction))
    body(&writer)
    if signs, let key {
      writer.append(.username, text: username)
      writer.append(.realm, text: realm)
      writer.append(.nonce, nonce)
      var authenticator = MessageAuthenticator()
      authenticator.sign(&writer, key: key)
    }
    afterIntegrity(&writer)
    return writer.bytes.copied()
  }

  /// Sends bytes, runs the resulting commands and returns the disposition. Late replies are kept.
  func send(_ bytes: [UInt8]) -> Disposition {
    let disposition = conversation.receive(bytes, from: path)
    conversation.runCommands()
    return disposition
  }

  /// Sends a request and returns its immediate or late answer; nil if there is none.
  func ask(_ bytes: [UInt8]) -> Answer? {
    let before = conversation.lateReplies.count
    let disposition = conversation.receive(bytes, from: path)
    var reply: [UInt8]?
    if case .reply = disposition { reply = conversation.relay.copiedReply() }
    conversation.runCommands()
    if conversation.lateReplies.count > before { reply = conversation.lateReplies[before].1 }
    guard let reply else { return nil }
    return read(reply)
  }

  func read(_ bytes: [UInt8]) -> Answer? {
    guard let message = try? MessageView(bytes.span.rawBytes) else { return nil }
    var authenticator = MessageAuthenticator()
    var isSigned = false
    if let key { isSigned = authenticator.verify(message, key: key) }
    var relayedAddresses: [SocketAddress] = []
    var offset = 0
    while let range = message.nextRange(of: .xorRelayedAddress, from: offset) {
      offset = (range.upperBound + 3) & ~3
      if let address = try? xorAddress(message.bytes.extracting(range), transactionID: message.transactionID) {
        relayedAddresses.append(address)
      }
    }
    return Answer(
      type: message.type, code: (try? message.errorCode())?.code.rawValue,
      nonce: message.value(of: .nonce)?.copied(), relayedAddress: relayedAddresses.first,
      relayedAddresses: relayedAddresses,
      addressError: (try? message.addressErrorCode()).map { [UInt16($0.family), $0.code.rawValue] },
      mappedAddress: try? message.xorAddress(.xorMappedAddress), lifetime: try? message.lifetime(),
      token: try? message.reservationToken(), unknown: message.value(of: .unknownAttributes)?.copied(),
      ticket: message.value(of: .mobilityTicket)?.copied(), connectionID: try? message.word(.connectionID),
      isSigned: isSigned, bytes: bytes)
  }

  /// Gets a nonce with an unsigned Allocate.
  @discardableResult
  func challenge() -> Answer? {
    let answer = ask(request(.allocate, signs: false) { $0.append(.requestedTransport, UInt32(17) << 24) })
    nonce = answer?.nonce ?? nonce
    return answer
  }

  /// Allocates: challenge, then signed request.
  @discardableResult
  func allocate(_ transport: RelayTransport = .udp, _ body: (inout MessageWriter) -> Void = { _ in }) -> Answer? {
    if nonce.isEmpty { challenge() }
    return ask(
      request(.allocate) {
        $0.append(.requestedTransport, UInt32(transport.rawValue) << 24)
        body(&$0)
      })
  }

  @discardableResult
  func refresh(_ lifetime: UInt32?) -> Answer? {
    ask(request(.refresh) { if let lifetime { $0.append(.lifetime, lifetime) } })
  }

  @discardableResult
  func permit(_ peers: String...) -> Answer? {
    ask(request(.createPermission) { for peer in peers { $0.append(.xorPeerAddress, xor: SocketAddress(peer)!) } })
  }

  @discardableResult
  func bind(_ channel: UInt16, _ peer: String) -> Answer? {
    ask(
      request(.channelBind) {
        $0.append(.channelNumber, UInt32(channel) << 16)
        $0.append(.xorPeerAddress, xor: SocketAddress(peer)!)
      })
  }

  func channelData(_ channel: UInt16, _ data: [UInt8]) -> Disposition {
    let header = [channel >> 8, channel & 0xFF, UInt16(data.count) >> 8, UInt16(data.count) & 0xFF].map { UInt8($0) }
    return send(header + data)
  }

  func sendIndication(_ peer: String, _ data: [UInt8]) -> Disposition {
    var writer = MessageWriter(capacity: 4096)
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
    writer.append(.xorPeerAddress, xor: SocketAddress(peer)!)
    writer.append(.data, data)
    return send(writer.bytes.copied())
  }

  /// Sends data from a peer to this client's relayed address.
  func hear(_ data: [UInt8], from peer: String, on relayedAddress: SocketAddress) -> Disposition {
    let local = conversation.relayed.translated(relayedAddress.address)
    guard
      let port = conversation.openPorts.first(where: { $0.value == SocketAddress(local, port: relayedAddress.port) })
    else { return .drop(.noRelayPort) }
    return conversation.receive(data, fromPeer: SocketAddress(peer)!, on: port.key)
  }
}
