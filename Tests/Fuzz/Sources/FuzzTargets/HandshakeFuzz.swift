internal import NetworkTypes
internal import Synchronization

@testable internal import TLS

/// The first bytes of a TLS connection. A second reader, which collects the records first, must agree with
/// `ClientHelloForm`, and OpenSSL must not answer a hello that is implausible.
enum ClientHelloFuzz {
  /// Bytes that are appended to a complete or implausible hello. They must not change its form.
  private static let more: [UInt8] = [22, 3, 1, 0, 1, 1, 0]

  static func problem(with bytes: [UInt8]) -> String? {
    let form = ClientHelloForm(bytes.span.rawBytes)
    let expected = SecondReader.form(of: bytes)
    guard form == expected else { return "\(form), but the second reader says \(expected)" }
    if form != .incomplete, ClientHelloForm((bytes + more).span.rawBytes) != form { return "more bytes change \(form)" }
    // A connection is read in pieces: no piece before the last may decide otherwise.
    for count in [bytes.count / 2, bytes.count - 1] where count > 0 {
      let early = ClientHelloForm(bytes.span.rawBytes.extracting(0..<count))
      if early != .incomplete, early != form { return "\(early) after \(count) bytes, \(form) at the end" }
    }
    return form == .implausible && isAnswered(bytes) ? "OpenSSL answers an implausible hello" : nil
  }

  /// Whether OpenSSL sends a handshake message to the client. An alert is no answer.
  private static func isAnswered(_ bytes: [UInt8]) -> Bool {
    guard bytes.count > 9, bytes[0] == 22, bytes[1] == 3, bytes[5] == 1, let context = FuzzContexts.stream,
      var engine = try? TLSEngine(server: context)
    else { return false }
    engine.receive(bytes.span.rawBytes)
    engine.handshake()
    return engine.hasOutput && engine.output.byte(at: 0) == 22
  }
}

/// Reads a ClientHello in two passes.
private enum SecondReader {
  static func form(of bytes: [UInt8]) -> ClientHelloForm {
    var message: [UInt8] = []
    var offset = 0
    while offset < bytes.count {
      let header = bytes[offset..<min(offset + 5, bytes.count)]
      guard isPossible(Array(header)) else { return .implausible }
      guard header.count == 5 else { break }
      let length = Int(bytes[offset + 3]) << 8 | Int(bytes[offset + 4])
      let body = bytes[(offset + 5)..<min(offset + 5 + length, bytes.count)]
      offset += 5 + length
      message += body
      guard !body.isEmpty else { break }
      let form = form(ofMessage: message)
      if form != .incomplete { return form }
    }
    return bytes.count >= ClientHelloForm.longest ? .implausible : .incomplete
  }

  private static func isPossible(_ header: [UInt8]) -> Bool {
    guard header[0] == 22, header.count < 2 || header[1] == 3 else { return false }
    guard header.count == 5 else { return true }
    return (1...16_384).contains(Int(header[3]) << 8 | Int(header[4]))
  }

  /// The form of the first bytes of a message. Each field must fit into the message as soon as its length is known.
  private static func form(ofMessage message: [UInt8]) -> ClientHelloForm {
    guard message[0] == 1 else { return .implausible }
    guard message.count >= 4 else { return .incomplete }
    let end = 4 + Int(message[1]) << 16 + Int(message[2]) << 8 + Int(message[3])
    guard end <= ClientHelloForm.longest else { return .implausible }
    var offset = 4
    // The version and the random bytes.
    for size in [2, 32] {
      if let form = skip(size, message, &offset, end) { return form }
    }
    // Session, cipher suites, compression methods: a length, then that number of bytes.
    for (size, allowed) in [(1, 0...32), (2, 2...65_534), (1, 1...255)] {
      if let form = skip(size, message, &offset, end) { return form }
      let length = number(message, endingAt: offset, size)
      guard allowed.contains(length), size == 1 || length.isMultiple(of: 2) else { return .implausible }
      if let form = skip(length, message, &offset, end) { return form }
    }
    if offset == end { return .whole }
    if let form = skip(2, message, &offset, end) { return form }
    guard offset + number(message, endingAt: offset, 2) == end else { return .implausible }
    while offset < end {
      if let form = skip(4, message, &offset, end) { return form }
      if let form = skip(number(message, endingAt: offset, 2), message, &offset, end) { return form }
    }
    return .whole
  }

  /// Steps over a field. Returns the form if the field does not fit or is not complete.
  private static func skip(_ size: Int, _ message: [UInt8], _ offset: inout Int, _ end: Int) -> ClientHelloForm? {
    guard offset + size <= end else { return .implausible }
    guard offset + size <= message.count else { return .incomplete }
    offset += size
    return nil
  }

  private static func number(_ message: [UInt8], endingAt offset: Int, _ size: Int) -> Int {
    message[(offset - size)..<offset].reduce(0) { $0 << 8 | Int($1) }
  }
}

/// Datagrams of a DTLS client before the end of its handshake.
enum SecureDatagramFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    let kind = HandshakeFragments(bytes.span.rawBytes)
    let expected = expected(of: bytes)
    guard kind == expected else { return "\(kind), but the second reader says \(expected)" }
    guard kind != .excessive else { return answer(to: bytes) }
    let twice = HandshakeFragments((bytes + bytes).span.rawBytes)
    guard twice == kind else { return "\(kind) alone, \(twice) twice in one datagram" }
    return answer(to: bytes)
  }

  private static func expected(of bytes: [UInt8]) -> HandshakeFragments {
    var rest = bytes[...]
    var isEncrypted = false
    while !rest.isEmpty {
      guard let record = FuzzRecord(&rest) else { return .excessive }
      if record.epoch != 0 { isEncrypted = true }
      guard record.epoch == 0, record.kind == 22 else { continue }
      var body = record.body
      while !body.isEmpty {
        guard let length = FuzzRecord.fragment(&body), length <= 2048 else { return .excessive }
      }
    }
    return isEncrypted ? .encrypted : .plain
  }

  /// A client that has not returned the cookie gets a HelloVerifyRequest with the cookie and nothing else. The answer has
  /// no more bytes than the client's datagram.
  private static func answer(to bytes: [UInt8]) -> String? {
    FuzzContexts.listening.withLock { engine in
      let result = engine?.listen(bytes.span.rawBytes, from: [1], at: Instant(nanoseconds: 0)) ?? .ignored
      var sent = 0
      while let datagram = engine?.takeDatagram() { sent += datagram.count }
      switch result {
      case .verified: return "a cookie was guessed"
      case .cookieAsked: return (1...bytes.count).contains(sent) ? nil : "\(sent) bytes for \(bytes.count)"
      case .ignored: return sent == 0 ? nil : "an ignored datagram is answered"
      }
    }
  }
}

/// A record of DTLS, taken from the front of a datagram.
private struct FuzzRecord {
  let kind: UInt8
  let epoch: Int
  let body: ArraySlice<UInt8>

  init?(_ rest: inout ArraySlice<UInt8>) {
    guard rest.count >= 13 else { return nil }
    let header = Array(rest.prefix(13))
    let length = Int(header[11]) << 8 | Int(header[12])
    guard rest.count >= 13 + length else { return nil }
    kind = header[0]
    epoch = Int(header[3]) << 8 | Int(header[4])
    body = rest.dropFirst(13).prefix(length)
    rest = rest.dropFirst(13 + length)
  }

  /// Takes a fragment from the front of a handshake record; returns the length of its message, or nil if there is none
  /// that a client needs.
  static func fragment(_ body: inout ArraySlice<UInt8>) -> Int? {
    guard body.count >= 12 else { return nil }
    let header = Array(body.prefix(12))
    let length = Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
    let part = Int(header[9]) << 16 | Int(header[10]) << 8 | Int(header[11])
    guard header[4] == 0, header[5] <= 2, part <= length, body.count >= 12 + part else { return nil }
    body = body.dropFirst(12 + part)
    return length
  }
}

/// The contexts that all inputs share.
private enum FuzzContexts {
  static let files: CertificateFiles? = {
    guard
      let made = try? SelfSignedCertificate(
        commonName: "fuzz", hostNames: [], addresses: [], now: UnixTime(seconds: 1_800_000_000))
    else { return nil }
    return try? CertificateFiles(
      chain: .bytes(made.certificate, name: "chain"), key: .bytes(made.key, name: "key"))
  }()

  static let stream = files.flatMap { try? TLSContext(server: $0) }

  static let listening = Mutex<DTLSEngine?>(
    files.flatMap { try? TLSContext(server: $0, isDatagram: true) }.flatMap {
      try? DTLSEngine(server: $0, cookieKey: HelloCookieKey([UInt8](repeating: 7, count: 32)))
    })
}
