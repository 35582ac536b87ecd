import NetworkTypes
import STUN
import Testing

@testable import TURN

/// One MUST or SHOULD of an RFC that a server can violate, and a conversation that detects the violation.
struct Requirement: Sendable, CustomTestStringConvertible {
  let section: String
  let text: String
  let check: @Sendable () throws -> Void

  init(_ section: String, _ text: String, _ check: @escaping @Sendable () throws -> Void) {
    self.section = section
    self.text = text
    self.check = check
  }

  var testDescription: String { "\(section): \(text)" }
}

/// The objects that a requirement's check uses: a relay, a client that has a nonce, and shorthand for bytes.
final class Scene {
  let conversation: Conversation
  let client: TestClient

  init(
    allow: [String] = [], advertise: String? = nil, hasIPv6: Bool = true, limit: UInt32 = 0,
    total: UInt32 = 0, transport: TransportProtocol = .udp, _ configure: (inout RelaySettings) -> Void = { _ in }
  ) {
    conversation = Conversation(
      allow: allow, advertise: advertise, limit: limit, total: total, hasIPv6: hasIPv6, configure)
    client = TestClient(conversation, transport: transport)
    client.challenge()
  }

  /// A scene in which the client has an allocation and a permission for 8.8.8.8.
  static func allocated(
    transport: TransportProtocol = .udp, _ configure: (inout RelaySettings) -> Void = { _ in },
    _ body: (inout MessageWriter) -> Void = { _ in }
  ) throws -> (scene: Scene, relayed: SocketAddress) {
    let scene = Scene(transport: transport, configure)
    let relayed = try #require(scene.client.allocate(.udp, body)?.relayedAddress)
    scene.client.permit("8.8.8.8:0")
    return (scene, relayed)
  }

  func ask(_ method: STUN.Method, signs: Bool = true, _ body: (inout MessageWriter) -> Void = { _ in }) -> Answer? {
    client.ask(client.request(method, signs: signs, body))
  }

  /// Sends an Allocate with exactly these attributes.
  func allocate(_ attributes: (AttributeType, [UInt8])...) -> Answer? {
    ask(.allocate) { for (type, value) in attributes { $0.append(type, value) } }
  }

  /// Sends an indication and returns the disposition.
  func indication(_ method: STUN.Method, _ body: (inout MessageWriter) -> Void) -> Disposition {
    var writer = MessageWriter(capacity: 4096)
    writer.begin(MessageType(method, .indication), transactionID: TransactionID(high: 0, low: 1))
    body(&writer)
    return client.send(writer.bytes.copied())
  }

  static let udp: (AttributeType, [UInt8]) = (.requestedTransport, [17, 0, 0, 0])

  static func family(_ code: UInt8) -> [UInt8] { [code, 0, 0, 0] }

  static func peer(_ address: String, _ writer: inout MessageWriter) {
    writer.append(.xorPeerAddress, xor: SocketAddress(address)!)
  }
}

/// A message's parts, copied from a `MessageView`, so that they can outlive its span.
struct Parsed {
  var type: MessageType
  var order: [UInt16] = []
  var values: [UInt16: [UInt8]] = [:]
  var paddingIsZero = true

  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 20, let type = MessageType(bits: UInt16(bytes[0]) << 8 | UInt16(bytes[1])) else { return nil }
    self.type = type
    var offset = 20
    while offset + 4 <= bytes.count {
      let attribute = UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
      let length = Int(bytes[offset + 2]) << 8 | Int(bytes[offset + 3])
      let end = offset + 4 + length
      let padded = (end + 3) & ~3
      guard padded <= bytes.count else { return nil }
      order.append(attribute)
      values[attribute] = Array(bytes[(offset + 4)..<end])
      if bytes[end..<padded].contains(where: { $0 != 0 }) { paddingIsZero = false }
      offset = padded
    }
  }

  subscript(type: AttributeType) -> [UInt8]? { values[type.rawValue] }
}
