import NetworkTypes
import STUN
import Testing

@Suite("Malformed attributes")
struct AttributeFormTests {
  /// A message with one attribute of these bytes.
  func message(_ attribute: AttributeType, _ value: [UInt8]) -> [UInt8] {
    var writer = MessageWriter()
    writer.begin(MessageType(.allocate, .request), transactionID: TransactionID(high: 1, low: 2))
    writer.append(attribute, value)
    return writer.bytes.copied()
  }

  /// The error that reading the attribute throws; nil if it succeeds.
  func error(
    _ bytes: [UInt8], _ read: (borrowing MessageView) throws(DecodingError) -> Void
  ) throws -> DecodingError? {
    let message = try MessageView(bytes.span.rawBytes)
    do throws(DecodingError) {
      try read(message)
      return nil
    } catch { return error }
  }

  @Test(
    "An address has 8 bytes for IPv4 and 20 for IPv6",
    arguments: [(1, 8, true), (1, 7, false), (1, 12, false), (1, 20, false)]
      + [(2, 20, true), (2, 8, false), (2, 16, false), (2, 19, false), (2, 21, false), (2, 24, false)]
      + [(0, 8, false), (3, 8, false), (3, 20, false)] as [(UInt8, Int, Bool)])
  func addresses(family: UInt8, count: Int, isRight: Bool) throws {
    let value = [0, family] + [UInt8](repeating: 7, count: count - 2)
    let expected: DecodingError? = isRight ? nil : .malformedAttribute
    let mixed = try error(message(.xorPeerAddress, value)) { view throws(DecodingError) in
      _ = try view.xorAddress(.xorPeerAddress)
    }
    let plain = try error(message(.otherAddress, value)) { view throws(DecodingError) in
      _ = try view.plainAddress(.otherAddress)
    }
    #expect(mixed == expected)
    #expect(plain == expected)
  }

  @Test(
    "An error code has a class of 3 to 6 and a number of 0 to 99",
    arguments: [
      ([0, 0, 4, 0], 400), ([0, 0, 3, 0], 300), ([0, 0, 6, 99], 699), ([0, 0, 0xFC, 1], 401), ([0, 0, 2, 0], nil),
      ([0, 0, 7, 0], nil), ([0, 0, 4, 100], nil), ([0, 0, 4, 255], nil), ([0, 0, 4], nil), ([], nil),
    ] as [([UInt8], UInt16?)])
  func errorCodes(value: [UInt8], code: UInt16?) throws {
    let single = message(.errorCode, value)
    let view = try MessageView(single.span.rawBytes)
    let read = (try? view.errorCode()?.code.rawValue) ?? nil
    #expect(read == code)
    let ofFamily = message(.addressErrorCode, value)
    let second = try MessageView(ofFamily.span.rawBytes)
    let readOfFamily = (try? second.addressErrorCode()?.code.rawValue) ?? nil
    #expect(readOfFamily == code)
  }

  @Test(
    "An attribute of fixed length is refused with any other length",
    arguments: [
      (AttributeType.channelNumber, 4), (.lifetime, 4), (.requestedAddressFamily, 4), (.requestedTransport, 4),
      (.evenPort, 1), (.dontFragment, 0), (.reservationToken, 8), (.connectionID, 4), (.additionalAddressFamily, 4),
      (.changeRequest, 4), (.responsePort, 4),
    ])
  func fixedLengths(attribute: AttributeType, count: Int) throws {
    for other in 0...12 {
      let bytes = message(attribute, [UInt8](repeating: 0, count: other))
      let malformed = try MessageView(bytes.span.rawBytes).malformedAttribute
      #expect(malformed == (other == count ? nil : attribute))
    }
  }

  @Test("RESERVATION-TOKEN, 32-bit values and EVEN-PORT are read at their own length only", arguments: 0...12)
  func readers(count: Int) throws {
    let value = [UInt8](repeating: 1, count: count)
    let token = try error(message(.reservationToken, value)) { view throws(DecodingError) in
      _ = try view.reservationToken()
    }
    #expect((token == nil) == (count == 8))
    let word = try error(message(.lifetime, value)) { view throws(DecodingError) in _ = try view.lifetime() }
    #expect((word == nil) == (count == 4))
    let port = try error(message(.evenPort, value)) { view throws(DecodingError) in _ = try view.evenPort() }
    #expect((port == nil) == (count == 1))
  }

  @Test("UNKNOWN-ATTRIBUTES has two bytes for each type", arguments: 0...5)
  func unknownAttributes(count: Int) throws {
    let bytes = message(.unknownAttributes, [UInt8](repeating: 0, count: count))
    let malformed = try MessageView(bytes.span.rawBytes).malformedAttribute
    #expect(malformed == (count % 2 == 0 ? nil : .unknownAttributes))
  }
}
