import Crypto
import NetworkTypes
import STUN
import Testing

@Suite("Requests of browsers and other clients")
struct CorpusTests {
  @Test("The codec reads every message as its record says", arguments: Corpus.clients)
  func read(client: String) throws {
    let corpus = try Corpus(client)
    #expect(corpus.messages.count >= 7)
    for message in corpus.messages {
      let view = try MessageView(message.bytes.span.rawBytes)
      let said = try describe(view, transport: message.lines[0].suffix(3))
      #expect(said == message.lines)
    }
  }

  @Test("Every record has the messages of a call, over UDP and TCP", arguments: Corpus.clients)
  func complete(client: String) throws {
    let kinds = Set(try Corpus(client).messages.map { $0.lines[0] })
    for transport in ["UDP", "TCP"] {
      #expect(kinds.contains("Allocate request over \(transport)"))
      let permissions = ["CreatePermission request over \(transport)", "ChannelBind request over \(transport)"]
      #expect(!kinds.isDisjoint(with: permissions))
    }
  }

  @Test("A message on a stream is one frame, whatever follows it", arguments: Corpus.clients)
  func framed(client: String) throws {
    for message in try Corpus(client).messages {
      let bytes = message.bytes + [0x40, 0, 0, 1, 0, 0, 0, 0]
      #expect(
        StreamFrame(bytes.span.rawBytes, allowsChannelData: false) == .message(count: message.bytes.count))
    }
  }

  @Test("No integrity verifies with another password", arguments: Corpus.clients)
  func wrongPassword(client: String) throws {
    var authenticator = MessageAuthenticator()
    let key = LongTermKey.md5(username: Corpus.username, realm: Corpus.realm, password: [0])
    for message in try Corpus(client).messages {
      let view = try MessageView(message.bytes.span.rawBytes)
      let isRight = authenticator.verify(view, key: key) || authenticator.verifySHA256(view, key: key)
      #expect(!isRight)
    }
  }
}

// MARK: - Describing a message in the record's words

/// The first line, and one line for each attribute in the message's order.
private func describe(_ message: borrowing MessageView, transport: Substring) throws -> [String] {
  var lines = ["\(try name(of: message.type)) over \(transport)"]
  var offset = headerByteCount
  while offset < message.bytes.byteCount {
    let attribute = AttributeType(rawValue: message.bytes.bigEndian16(at: offset))
    let first = message.offset(of: attribute) ?? offset
    #expect(first <= offset)
    let value = try value(of: attribute, at: offset, message)
    let name = attribute.name ?? "0x" + String(attribute.rawValue, radix: 16, uppercase: true)
    lines.append(value.isEmpty ? "  \(name)" : "  \(name) \(value)")
    offset += 4 + ((Int(message.bytes.bigEndian16(at: offset + 2)) + 3) & ~3)
  }
  let (malformed, unknown) = (message.malformedAttribute, message.unknownRequiredCount)
  #expect(malformed == nil)
  #expect(unknown == 0)
  return lines
}

private func name(of type: MessageType) throws -> String {
  let methods: [STUN.Method: String] = [
    .binding: "Binding", .allocate: "Allocate", .refresh: "Refresh", .send: "Send",
    .createPermission: "CreatePermission", .channelBind: "ChannelBind", .connect: "Connect",
    .connectionBind: "ConnectionBind",
  ]
  let method = try #require(methods[type.method])
  switch type.messageClass {
  case .request: return "\(method) request"
  case .indication: return "\(method) indication"
  case .success: return "\(method) success response"
  case .error: return "\(method) error response"
  }
}

/// An attribute's value from the codec's reader, or its bytes if it has no reader.
private func value(
  of attribute: AttributeType, at offset: Int, _ message: borrowing MessageView
) throws -> String {
  switch attribute {
  case .username, .realm, .nonce, .software: return "\"\(text(try present(message.range(of: attribute)), message))\""
  case .data, .padding, .accessToken: return "\(try present(message.range(of: attribute)).count) bytes"
  case .xorPeerAddress:
    // Only this attribute may appear more than once.
    let range = try present(message.nextRange(of: attribute, from: offset))
    return try xorAddress(message.bytes.extracting(range), transactionID: message.transactionID).description
  case .channelNumber:
    return "0x" + String(try present(try message.channelNumber()), radix: 16, uppercase: true)
  case .lifetime: return "\(try present(try message.lifetime()))"
  case .changeRequest: return "\(try present(try message.changeRequest()).bits)"
  case .requestedTransport: return "\(try present(try message.requestedTransport()))"
  case .requestedAddressFamily, .additionalAddressFamily:
    return "\(try present(try message.addressFamily(attribute)))"
  case .evenPort: return try present(message.evenPort()) ? "next port reserved" : "even port"
  case .messageIntegrity, .messageIntegritySHA256: return isSigned(message, attribute) ? "right" : "WRONG"
  case .fingerprint: return Fingerprint.verify(message) == true ? "right" : "WRONG"
  default:
    let count = Int(message.bytes.bigEndian16(at: offset + 2))
    return hexadecimal(message.bytes.extracting((offset + 4)..<(offset + 4 + count)).copied())
  }
}

/// The value, which must be present. (`#require` does not accept an expression with a `MessageView`.)
private func present<Value>(_ value: Value?) throws -> Value { try #require(value) }

private func text(_ range: Range<Int>, _ message: borrowing MessageView) -> String {
  // Some clients count the end of a C string into the value; the record leaves it out.
  let bytes = message.bytes.extracting(range).copied()
  return String(decoding: bytes[..<((bytes.lastIndex { $0 != 0 } ?? -1) + 1)], as: UTF8.self)
}

private func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined()
}

private func isSigned(_ message: borrowing MessageView, _ attribute: AttributeType) -> Bool {
  var authenticator = MessageAuthenticator()
  let usesSHA256 = ((try? message.passwordAlgorithm()) ?? nil) == PasswordAlgorithm.sha256.rawValue
  let key =
    usesSHA256
    ? LongTermKey.sha256(username: Corpus.username, realm: Corpus.realm, password: Corpus.password)
    : LongTermKey.md5(username: Corpus.username, realm: Corpus.realm, password: Corpus.password)
  return attribute == .messageIntegrity
    ? authenticator.verify(message, key: key) : authenticator.verifySHA256(message, key: key)
}
