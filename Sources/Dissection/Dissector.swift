internal import Crypto
internal import NetworkTypes
internal import STUN

/// Explains one datagram or message after another. It remembers the user of each request, because responses do not name
/// the user. It never fails: it reports every fault.
public struct Dissector: Sendable {
  let source: IntegritySource
  /// User name and realm of the requests, by transaction ID.
  private var requests: [[UInt8]: Identity] = [:]
  /// User name and realm of the last request that had a user name.
  private var last = Identity()

  /// The inputs, besides the password, for a long-term key.
  struct Identity: Sendable {
    var username: [UInt8] = []
    var realm: [UInt8] = []
  }

  /// Limit of remembered requests; then all are forgotten.
  private static let memory = 4096

  public init(source: IntegritySource = IntegritySource()) { self.source = source }

  /// Explains a datagram.
  public mutating func dissect(datagram bytes: [UInt8]) -> Dissection {
    guard let first = bytes.first else { return other(bytes, "an empty datagram") }
    switch first {
    case 0...3: return message(bytes)
    case 0x40...0x7F: return channelData(bytes)
    default: return other(bytes, "no STUN: \(Names.content(bytes))")
    }
  }

  /// Explains a message of a capture. A message that the capture truncated is not called malformed, and a channel
  /// number of RFC 5766 is a remark, not a problem.
  public mutating func dissect(_ found: MessageFinder.Message) -> Dissection {
    guard found.missing > 0 else {
      var result = dissect(datagram: found.bytes)
      if result.problems.first == Self.oldChannel {
        result.problems.removeFirst()
        result.content = (result.content ?? "") + "; \(Self.oldChannel)"
      }
      return result
    }
    // Explains the message with zeros for the missing bytes, then removes the attributes that consist of such zeros.
    let kept = found.bytes.count
    let (requests, last) = (requests, last)
    defer { (self.requests, self.last) = (requests, last) }
    var result = dissect(datagram: found.bytes + [UInt8](repeating: 0, count: min(found.missing, 65_535)))
    result.byteCount = kept + found.missing
    result.attributes.removeAll { $0.offset + 4 + $0.byteCount > kept }
    result.problems = []
    if result.isFingerprintRight == false { result.isFingerprintRight = nil }
    if result.isIntegrityRight == false, !result.attributes.contains(where: { [0x0008, 0x001C].contains($0.type) }) {
      result.isIntegrityRight = nil
    }
    let cut = "\(found.missing) of \(result.byteCount) bytes are not in the capture"
    result.content = cut
    return result
  }

  private static let oldChannel = "channels above 0x4FFF are reserved (RFC 8656 section 12)"

  /// Explains the messages of a byte stream, or of a text with several messages, up to `limit` of them.
  public mutating func dissect(stream bytes: [UInt8], limit: Int = 100_000) -> [Dissection] {
    var found: [Dissection] = []
    var rest = bytes[...]
    while !rest.isEmpty, found.count < limit {
      let count = Self.frameByteCount(rest)
      let piece = Array(rest.prefix(count ?? rest.count))
      found.append(dissect(datagram: piece))
      rest = rest.dropFirst(piece.count)
    }
    return found
  }

  /// The length of the first message, with ChannelData's padding; nil if the length is unknown, or if there is only one
  /// message.
  private static func frameByteCount(_ bytes: ArraySlice<UInt8>) -> Int? {
    let head = Array(bytes.prefix(8))
    guard head.count == 8 else { return nil }
    let length = Int(head[2]) << 8 | Int(head[3])
    let isMessage = head[0] < 4 && head.span.rawBytes.bigEndian32(at: 4) == magicCookie
    if isMessage { return length & 3 == 0 && 20 + length < bytes.count ? 20 + length : nil }
    guard 0x40...0x4F ~= head[0] else { return nil }
    let padded = 4 + ((length + 3) & ~3)
    return padded < bytes.count ? padded : nil
  }

  // MARK: - Kinds

  private func other(_ bytes: [UInt8], _ title: String) -> Dissection {
    Dissection(kind: .other, title: title, byteCount: bytes.count, content: bytes.preview)
  }

  private func channelData(_ bytes: [UInt8]) -> Dissection {
    let view = bytes.span.rawBytes
    guard bytes.count >= 4 else {
      var result = other(bytes, "ChannelData, cut short")
      result.problems = ["ChannelData has a header of 4 bytes; there are \(bytes.count)"]
      return result
    }
    let channel = view.bigEndian16(at: 0)
    let length = Int(view.bigEndian16(at: 2))
    var result = Dissection(
      kind: .channelData, title: "ChannelData on \(hexadecimal(channel)), \(length) bytes of data",
      byteCount: bytes.count)
    if channel > 0x4FFF { result.problems.append(Self.oldChannel) }
    guard 4 + length <= bytes.count else {
      result.problems.append("the length says \(length) bytes of data, and \(bytes.count - 4) are there")
      return result
    }
    let data = bytes[4..<(4 + length)]
    result.content = "\(data.preview) (\(Names.content(data)))"
    let padding = bytes.count - 4 - length
    if padding > 3 { result.problems.append("\(padding) bytes after the data") }
    if padding <= 3, bytes.suffix(padding).contains(where: { $0 != 0 }) {
      result.problems.append("the padding is not zero")
    }
    return result
  }

  private mutating func message(_ bytes: [UInt8]) -> Dissection {
    guard bytes.count >= headerByteCount else {
      var result = other(bytes, "STUN, cut short")
      result.problems = ["a STUN header has 20 bytes; there are \(bytes.count)"]
      return result
    }
    let view = bytes.span.rawBytes
    guard let type = MessageType(bits: view.bigEndian16(at: 0)) else { return other(bytes, "no STUN") }
    let hasCookie = view.bigEndian32(at: 4) == magicCookie
    let transaction = bytes[(hasCookie ? 8 : 4)..<20].hexadecimal
    var result = Dissection(
      kind: hasCookie ? .message : .classic, title: Names.method(type.method.rawValue) + " " + type.messageClass.words,
      byteCount: bytes.count, transaction: transaction)
    if !hasCookie { result.title += " without the magic cookie (RFC 3489)" }
    let length = Int(view.bigEndian16(at: 2))
    if length & 3 != 0 { result.problems.append("the length, \(length), is no multiple of 4") }
    if headerByteCount + length != bytes.count {
      result.problems.append(
        "the length says \(headerByteCount + length) bytes with the header, and \(bytes.count) are there")
    }
    var reader = AttributeReader(bytes: bytes, end: min(bytes.count, headerByteCount + length), hasCookie: hasCookie)
    reader.readAll(into: &result)
    remember(type, reader, transaction)
    check(type, reader, transaction, bytes, &result)
    return result
  }

  // MARK: - Integrity

  private mutating func remember(_ type: MessageType, _ reader: AttributeReader, _ transaction: String) {
    guard type.messageClass == .request, let username = reader.username ?? source.username else { return }
    last = Identity(username: username, realm: reader.realm ?? [])
    if requests.count >= Self.memory { requests = [:] }
    requests[Array(transaction.utf8)] = last
  }

  private func check(
    _ type: MessageType, _ reader: AttributeReader, _ transaction: String, _ bytes: [UInt8], _ result: inout Dissection
  ) {
    if let offset = reader.fingerprintOffset {
      let expected = CRC32.checksum(Self.prefix(bytes, upTo: offset, valueByteCount: 4).span.rawBytes) ^ 0x5354_554E
      let isRight = bytes.count >= offset + 8 && bytes.span.rawBytes.bigEndian32(at: offset + 4) == expected
      result.isFingerprintRight = isRight
      result.remark(at: offset, isRight ? "right" : "WRONG")
      if !isRight { result.problems.append("FINGERPRINT is wrong: the message was changed on its way, or cut") }
    }
    guard !source.isEmpty, !reader.integrityOffsets.isEmpty else { return }
    let known = requests[Array(transaction.utf8)] ?? last
    let identity = Identity(
      username: reader.username ?? (known.username.isEmpty ? source.username : nil) ?? known.username,
      realm: reader.realm ?? known.realm)
    let passwords =
      source.passwords
      + (source.secret.map { [TimeLimitedCredential.password(username: identity.username, secret: $0)] } ?? [])
    for (offset, count, isSHA256) in reader.integrityOffsets {
      let key = SigningKey.find(
        identity, passwords, isSHA256 ? .sha256 : .sha1, Self.prefix(bytes, upTo: offset, valueByteCount: count),
        Array(bytes[(offset + 4)..<(offset + 4 + count)]))
      result.isIntegrityRight = (result.isIntegrityRight ?? true) && key != nil
      result.remark(at: offset, key.map { "right (\($0))" } ?? "WRONG for this password")
      if key == nil { result.problems.append("the integrity attribute does not fit this password") }
    }
  }

  /// The bytes that a check covers: the message before the attribute, with a length field that includes the attribute.
  static func prefix(_ bytes: [UInt8], upTo offset: Int, valueByteCount: Int) -> [UInt8] {
    var prefix = Array(bytes.prefix(offset))
    let length = offset + 4 + valueByteCount - headerByteCount
    if prefix.count >= 4 {
      prefix[2] = UInt8(truncatingIfNeeded: length >> 8)
      prefix[3] = UInt8(truncatingIfNeeded: length)
    }
    return prefix
  }
}

/// The ways to derive a key from a password.
private enum SigningKey {
  /// The name of the derivation that gives the correct MAC; nil if none does.
  static func find(
    _ identity: Dissector.Identity, _ passwords: [[UInt8]], _ hash: HashAlgorithm, _ message: [UInt8], _ mac: [UInt8]
  ) -> String? {
    var context = HMACContext(hash)
    for password in passwords {
      let md5 = LongTermKey.md5(username: identity.username, realm: identity.realm, password: password).array
      let sha256 = LongTermKey.sha256(username: identity.username, realm: identity.realm, password: password).array
      let ways = [
        ("long-term credential, MD5", md5), ("long-term credential, SHA-256", sha256),
        ("short-term credential", password),
      ]
      for (name, key) in ways {
        let expected = context.authenticate(message.span.rawBytes, key: key.span.rawBytes)
        if expected.array.prefix(mac.count).elementsEqual(mac) { return name }
      }
    }
    return nil
  }
}

extension Dissection {
  mutating func remark(at offset: Int, _ text: String) {
    guard let index = attributes.firstIndex(where: { $0.offset == offset }) else { return }
    attributes[index].remarks.append(text)
  }
}

extension MessageClass {
  var words: String {
    switch self {
    case .request: "request"
    case .indication: "indication"
    case .success: "success response"
    case .error: "error response"
    }
  }
}
