internal import Crypto
internal import NetworkTypes
internal import STUN

enum STUNFuzz {
  private static let key = LongTermKey.md5(username: [1], realm: [2], password: [3])

  static func problem(with bytes: [UInt8]) -> String? {
    if let classic = ClassicBinding(bytes.span.rawBytes) {
      var writer = MessageWriter()
      classic.refuse(in: &writer)
    }
    guard let message = try? MessageView(bytes.span.rawBytes) else { return nil }
    guard message.bytes.byteCount == bytes.count, (20...bytes.count).contains(message.protectedEnd) else {
      return "the message is not the input"
    }
    if let problem = readAll(message) { return problem }
    var authenticator = MessageAuthenticator()
    if authenticator.verify(message, key: key) { return "a forged integrity is accepted" }
    if authenticator.verifySHA256(message, key: key) { return "a forged integrity of SHA-256 is accepted" }
    _ = Fingerprint.verify(message)
    return rewritten(message)
  }

  private static func readAll(_ message: borrowing MessageView) -> String? {
    for number in UInt16(0)...0x60 {
      for type in [AttributeType(rawValue: number), AttributeType(rawValue: number | 0x8000)] {
        var offset = 0
        var count = 0
        while let range = message.nextRange(of: type, from: offset) {
          guard range.lowerBound >= offset, range.upperBound <= message.bytes.byteCount else {
            return "outside: \(range)"
          }
          offset = (range.upperBound + 3) & ~3
          count += 1
          guard count <= message.bytes.byteCount / 4 else { return "endless attributes" }
        }
        if (message.value(of: type) != nil) != message.has(type) { return "value(of:) contradicts has() for \(number)" }
      }
    }
    _ = message.malformedAttribute
    _ = try? message.xorAddress(.xorPeerAddress)
    _ = try? message.plainAddress(.mappedAddress)
    _ = try? message.errorCode()
    _ = try? message.addressErrorCode()
    _ = try? message.changeRequest()
    _ = try? message.responsePort()
    _ = try? message.icmp()
    _ = try? message.passwordAlgorithm()
    _ = try? message.lifetime()
    _ = try? message.channelNumber()
    _ = try? message.requestedTransport()
    _ = try? message.evenPort()
    _ = try? message.reservationToken()
    _ = try? message.addressFamily(.requestedAddressFamily)
    return nil
  }

  /// A message written with the same attributes and signed must be read with the same values, and its signature must
  /// fail after any change.
  private static func rewritten(_ message: borrowing MessageView) -> String? {
    var writer = MessageWriter(capacity: 70_000)
    writer.begin(message.type, transactionID: message.transactionID)
    let data = message.value(of: .data)?.copied() ?? []
    writer.append(.data, data)
    var authenticator = MessageAuthenticator()
    authenticator.sign(&writer, key: key)
    writer.appendFingerprint()
    guard !writer.isOverflown else { return nil }
    let written = writer.bytes.copied()
    guard let again = try? MessageView(written.span.rawBytes) else { return "what we write cannot be read" }
    guard again.value(of: .data)?.copied() == data else { return "DATA changed" }
    guard authenticator.verify(again, key: key), Fingerprint.verify(again) == true else {
      return "our own signature fails"
    }
    var copy = written
    copy[copy.count / 2] ^= 1
    if let changed = try? MessageView(copy.span.rawBytes), Fingerprint.verify(changed) == true {
      return "a changed message has a right FINGERPRINT"
    }
    return nil
  }
}

enum FramingFuzz {
  /// A stream that arrives in arbitrary pieces must give the same frames as in one piece, and no frame may exceed the
  /// limit.
  static func problem(with bytes: [UInt8]) -> String? {
    guard bytes.count > 1 else { return nil }
    let stream = Array(bytes.dropFirst())
    let span = stream.span.rawBytes
    let step = Int(bytes[0] & 0x7F) + 1
    var start = 0
    var end = 0
    while start < stream.count {
      let whole = StreamFrame(span.extracting(start..<stream.count), allowsChannelData: bytes[0] & 0x80 != 0)
      var frame = StreamFrame.incomplete(missing: 1)
      end = start
      while case .incomplete(let missing) = frame, end < stream.count {
        guard missing > 0, end - start + missing <= 65_556 else { return "\(missing) bytes are missing" }
        end = min(end + max(step, 1), stream.count)
        frame = StreamFrame(span.extracting(start..<end), allowsChannelData: bytes[0] & 0x80 != 0)
      }
      guard frame == whole else { return "cut at \(end): \(frame), in one piece: \(whole)" }
      switch frame {
      case .incomplete, .invalid: return nil
      case .message(let count):
        guard count >= 20, start + count <= stream.count else { return "a message of \(count) bytes" }
        start += count
      case .channelData(let count, let padded):
        guard count >= 4, padded >= count, padded - count < 4, start + padded <= stream.count else {
          return "ChannelData of \(count), padded \(padded)"
        }
        let data = try? ChannelData(span.extracting(start..<(start + count)))
        guard let data, data.count == count - 4 else { return "the frame is not its ChannelData" }
        start += padded
      }
    }
    return nil
  }
}
