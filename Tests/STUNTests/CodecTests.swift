import Crypto
import NetworkTypes
import STUN
import TestSupport
import Testing

@Suite("Message codec")
struct CodecTests {
  @Test("Every method and class survives encoding and decoding")
  func types() {
    for method in UInt16(0)..<0x1000 {
      for messageClass in [MessageClass.request, .indication, .success, .error] {
        let type = MessageType(Method(rawValue: method), messageClass)
        #expect(MessageType(bits: type.bits) == type)
        #expect(type.bits & 0xC000 == 0)
      }
    }
    #expect(MessageType(.binding, .success).bits == 0x0101)
    #expect(MessageType(.allocate, .error).bits == 0x0113)
    #expect(MessageType(bits: 0x4000) == nil)
  }

  @Test(
    "XOR addresses survive encoding and decoding",
    arguments: ["192.0.2.1:1", "0.0.0.0:65535", "[::1]:3478", "[2001:db8:ffff::2]:49152"])
  func addresses(text: String) throws {
    let address = try #require(SocketAddress(text))
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .success), transactionID: TransactionID(high: 0xDEAD_BEEF, low: 42))
    writer.append(.xorMappedAddress, xor: address)
    writer.append(.mappedAddress, plain: address)
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    let mixed = try message.xorAddress(.xorMappedAddress)
    let plain = try message.plainAddress(.mappedAddress)
    #expect(mixed == address)
    #expect(plain == address)
  }

  @Test("A signed message verifies with its key and not with another, for SHA-1 and SHA-256")
  func signatures() throws {
    let key = LongTermKey.md5(username: [1], realm: [2], password: [3])
    let other = LongTermKey.md5(username: [1], realm: [2], password: [4])
    var writer = MessageWriter()
    var authenticator = MessageAuthenticator()
    writer.begin(MessageType(.allocate, .request), transactionID: TransactionID(high: 1, low: 2))
    writer.append(.username, text: "alice")
    authenticator.sign(&writer, key: key)
    authenticator.signSHA256(&writer, key: key)
    writer.appendFingerprint()
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    let results = [
      authenticator.verify(message, key: key), authenticator.verifySHA256(message, key: key),
      Fingerprint.verify(message) == true,
    ]
    #expect(results == [true, true, true])
    let wrong = [authenticator.verify(message, key: other), authenticator.verifySHA256(message, key: other)]
    #expect(wrong == [false, false])
  }

  @Test("Attributes after MESSAGE-INTEGRITY are ignored")
  func afterIntegrity() throws {
    var writer = MessageWriter()
    var authenticator = MessageAuthenticator()
    writer.begin(MessageType(.refresh, .request), transactionID: TransactionID(high: 1, low: 2))
    authenticator.sign(&writer, key: LongTermKey.md5(username: [], realm: [], password: []))
    writer.append(.lifetime, UInt32(0))
    writer.append(AttributeType(rawValue: 0x7777), UInt32(0))
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    let lifetime = try message.lifetime()
    #expect(lifetime == nil)
    let unknown = message.unknownRequiredCount
    #expect(unknown == 0)
  }

  @Test("RFC 8489, 14.5: MESSAGE-INTEGRITY after MESSAGE-INTEGRITY-SHA256 is ignored")
  func sha1BehindSHA256() throws {
    let key = LongTermKey.md5(username: [1], realm: [2], password: [3])
    var writer = MessageWriter()
    var authenticator = MessageAuthenticator()
    writer.begin(MessageType(.refresh, .request), transactionID: TransactionID(high: 1, low: 2))
    authenticator.signSHA256(&writer, key: key)
    authenticator.sign(&writer, key: key)
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    let (hasSHA1, hasSHA256) = (message.has(.messageIntegrity), message.has(.messageIntegritySHA256))
    #expect(!hasSHA1)
    #expect(hasSHA256)
    let isRight = authenticator.verify(message, key: key)
    #expect(!isRight)
  }

  @Test("Only the XOR-PEER-ADDRESSes before the integrity attribute count")
  func peersAfterIntegrity() throws {
    let peers = try ["192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3"].map { try #require(SocketAddress($0)) }
    var writer = MessageWriter()
    var authenticator = MessageAuthenticator()
    writer.begin(MessageType(.createPermission, .request), transactionID: TransactionID(high: 1, low: 2))
    for peer in peers.prefix(2) { writer.append(.xorPeerAddress, xor: peer) }
    authenticator.sign(&writer, key: LongTermKey.md5(username: [], realm: [], password: []))
    writer.append(.xorPeerAddress, xor: peers[2])
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    var found: [SocketAddress] = []
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) {
      found.append(try xorAddress(message.bytes.extracting(range), transactionID: message.transactionID))
      offset = range.upperBound
    }
    #expect(found == Array(peers.prefix(2)))
  }

  @Test("The next attribute is found from the end of the one before, and no offset traps")
  func repeated() throws {
    var writer = MessageWriter()
    writer.begin(MessageType(.createPermission, .request), transactionID: TransactionID(high: 1, low: 2))
    for count in [5, 0, 6, 8] { writer.append(.xorPeerAddress, [UInt8](repeating: 0xFF, count: count)) }
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    var counts: [Int] = []
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) {
      counts.append(range.count)
      offset = range.upperBound
    }
    #expect(counts == [5, 0, 6, 8])
    for offset in [Int.min, -1] + Array(0...bytes.count + 4) + [Int.max] {
      let end = message.nextRange(of: .xorPeerAddress, from: offset)?.upperBound ?? 0
      #expect(end <= bytes.count)
    }
  }

  @Test("A FINGERPRINT that is not last is invalid")
  func fingerprintNotLast() throws {
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 2))
    let offset = writer.count
    writer.append(.fingerprint, UInt32(0))
    writer.append(.software, text: "late")
    var bytes = writer.bytes.copied()
    // The value is right for the message's length; only its position is wrong.
    let checksum = CRC32.checksum(bytes.span.rawBytes.extracting(0..<offset)) ^ 0x5354_554E
    for index in 0..<4 { bytes[offset + 4 + index] = UInt8(truncatingIfNeeded: checksum >> (24 - 8 * index)) }
    let isRight = Fingerprint.verify(try MessageView(bytes.span.rawBytes))
    #expect(isRight == false)
  }

  @Test("The first of several attributes of a type counts")
  func duplicates() throws {
    var writer = MessageWriter()
    writer.begin(MessageType(.refresh, .request), transactionID: TransactionID(high: 1, low: 2))
    writer.append(.lifetime, UInt32(1))
    writer.append(.lifetime, UInt32(2))
    let bytes = writer.bytes.copied()
    let message = try MessageView(bytes.span.rawBytes)
    let lifetime = try message.lifetime()
    #expect(lifetime == 1)
  }

  @Test("Padding is zero, whatever the buffer held before")
  func padding() {
    var writer = MessageWriter()
    for length in 0..<9 {
      writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: .max, low: .max))
      writer.append(.software, [UInt8](repeating: 0xFF, count: 64))
      writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: .max, low: .max))
      writer.append(.software, [UInt8](repeating: 0xFF, count: length))
      let bytes = writer.bytes.copied()
      #expect(bytes.count % 4 == 0)
      #expect(bytes[(24 + length)...].allSatisfy { $0 == 0 })
    }
  }

  @Test(
    "An invalid message is refused with its reason",
    arguments: [
      ([], DecodingError.tooShort),
      ([UInt8](repeating: 0, count: 19), .tooShort),
      ([0x40] + [UInt8](repeating: 0, count: 19), .notSTUN),
      ([0, 1, 0, 0] + [UInt8](repeating: 0, count: 16), .noMagicCookie),
      ([0, 1, 0, 4, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 0, count: 12), .wrongLength),
      ([0, 1, 0, 3, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 0, count: 15), .wrongLength),
      ([0, 1, 0, 4, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 0, count: 14) + [0, 1], .attributeOverrun),
    ])
  func refused(bytes: [UInt8], reason: DecodingError) {
    var seen: DecodingError?
    do { _ = try MessageView(bytes.span.rawBytes) } catch { seen = error }
    #expect(seen == reason)
  }

  @Test(
    "A stream is split into frames",
    arguments: [
      ([], StreamFrame.incomplete(missing: 4)),
      ([0x00, 0x01], .incomplete(missing: 2)),
      ([0x47], .incomplete(missing: 3)),
      (Array("HTTP".utf8), .incomplete(missing: 21_584)), (Array("\u{16}abc".utf8), .invalid),
      ([0x47, 0x45], .incomplete(missing: 2)),
      ([0x16, 0x03], .invalid),
      ([0x40, 0x00, 0x00, 0x05], .incomplete(missing: 8)),
      ([0x40, 0x00, 0x00, 0x01, 9, 0, 0], .incomplete(missing: 1)),
      ([0x40, 0x00, 0x00, 0x01, 9, 0, 0, 0], .channelData(count: 5, padded: 8)),
      ([0x4F, 0xFF, 0xFF, 0xFF], .incomplete(missing: 65536)),
      ([0x50, 0x00, 0x00, 0x00], .channelData(count: 4, padded: 4)),
      ([0x7F, 0xFF, 0x00, 0x02, 1, 2, 0, 0], .channelData(count: 6, padded: 8)),
      ([0x80, 0x00, 0x00, 0x00], .invalid),
      ([0x00, 0x01, 0x00, 0x00], .incomplete(missing: 16)),
      ([0x00, 0x01, 0x00, 0x01], .invalid),
      ([0x00, 0x01, 0x00, 0x00, 1, 2, 3, 4], .invalid),
    ])
  func frames(bytes: [UInt8], frame: StreamFrame) {
    #expect(StreamFrame(bytes.span.rawBytes, allowsChannelData: true) == frame)
  }

  @Test("An HTTP request is refused by its first byte, which is no STUN message on a stream")
  func http() {
    let request = Array("GET / HTTP/1.1\r\n".utf8)
    #expect(StreamFrame(request.span.rawBytes, allowsChannelData: false) == .invalid)
    let first: [UInt8] = [0x47]
    #expect(StreamFrame(first.span.rawBytes, allowsChannelData: false) == .invalid)
  }
}

@Suite("Hostile bytes")
struct MutationTests {
  @Test("100,000 mutated messages are read or refused, and never trap", .tags(.slow))
  func mutations() throws {
    let known = [RFC5769.request, RFC5769.ipv4Response, RFC5769.ipv6Response, RFC5769.longTermRequest]
    let seeds = known + (try Corpus.seeds())
    var generator = SeededGenerator(seed: Array("codec mutations".utf8))
    var authenticator = MessageAuthenticator()
    let key = LongTermKey.md5(username: [], realm: [], password: [])
    var read = 0
    for round in 0..<100_000 {
      var bytes = seeds[round % seeds.count]
      for _ in 0...generator.next(below: 6) {
        switch generator.next(below: 4) {
        case 0 where !bytes.isEmpty:
          bytes[Int(generator.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
        case 1 where !bytes.isEmpty:
          bytes.removeLast(Int(generator.next(below: UInt64(bytes.count))))
        case 2:
          bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: generator.next()), count: 4)
        default:
          // Corrects the length field, so that decoding gets past it.
          guard bytes.count >= 20 else { continue }
          bytes.removeLast(bytes.count % 4)
          bytes[2] = UInt8(truncatingIfNeeded: (bytes.count - 20) >> 8)
          bytes[3] = UInt8(truncatingIfNeeded: bytes.count - 20)
        }
      }
      _ = StreamFrame(bytes.span.rawBytes, allowsChannelData: round % 2 == 0)
      _ = try? ChannelData(bytes.span.rawBytes).range
      do {
        let message = try MessageView(bytes.span.rawBytes)
        readEverything(message, authenticator: &authenticator, key: key)
        read += 1
      } catch {}
    }
    // Some messages must stay valid, or nothing after the header is tested.
    #expect(read > 5_000)
  }

  private func readEverything(
    _ message: borrowing MessageView, authenticator: inout MessageAuthenticator, key: borrowing Digest
  ) {
    _ = authenticator.verify(message, key: key)
    _ = authenticator.verifySHA256(message, key: key)
    _ = Fingerprint.verify(message)
    for attribute in [AttributeType.xorMappedAddress, .xorPeerAddress, .xorRelayedAddress] {
      _ = try? message.xorAddress(attribute)
    }
    _ = try? message.plainAddress(.mappedAddress)
    _ = try? message.errorCode()
    _ = try? message.lifetime()
    _ = try? message.channelNumber()
    _ = try? message.requestedTransport()
    _ = try? message.addressFamily(.requestedAddressFamily)
    _ = try? message.evenPort()
    _ = try? message.reservationToken()
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) { offset = range.upperBound }
  }
}
