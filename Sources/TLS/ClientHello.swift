internal import NetworkTypes

/// Tells whether the first bytes of a TCP connection are, or may become, a ClientHello (RFC 8446 sections 4.1.2 and
/// 5.1). A connection gets its TLS engine, which needs tens of kilobytes, only after a complete ClientHello.
public enum ClientHelloForm: Equatable, Sendable {
  /// The bytes are the beginning of a possible ClientHello.
  case incomplete
  /// A complete ClientHello, possibly followed by more bytes.
  case whole
  /// No TLS client sends this.
  case implausible

  /// Limit of a ClientHello's bytes, including record headers.
  public static let longest = 16 << 10

  public init(_ bytes: RawSpan) {
    var scan = Scan()
    self = scan.run(bytes)
    if self == .incomplete, bytes.byteCount >= Self.longest { self = .implausible }
  }
}

/// Scans the records and the message in them byte by byte, because a field may span records.
private struct Scan {
  /// Bytes left in the current record.
  private var recordLeft = 0
  private var offset = 0
  /// Bytes of the message so far.
  private var position = 0
  /// The message's length with its header, once that is known.
  private var messageEnd = 4
  /// The current field, and its end.
  private var field = Field.header
  private var fieldEnd = 4
  private var value = 0
  /// The end of the list of extensions, after its beginning.
  private var listEnd = 0

  private enum Field {
    case header
    case version, random
    case sessionLength, session
    case suitesLength, suites
    case methodsLength, methods
    case extensionsLength
    case extensionHeader, extensionBody
    case end
  }

  mutating func run(_ bytes: RawSpan) -> ClientHelloForm {
    while offset < bytes.byteCount {
      if recordLeft == 0 {
        switch Self.recordLength(bytes, at: offset) {
        case nil: return .implausible
        case 0: return .incomplete
        case let length?: recordLeft = length
        }
        offset += 5
        continue
      }
      guard take(bytes.byte(at: offset)) else { return .implausible }
      offset += 1
      recordLeft -= 1
      if field == .end { return position == messageEnd ? .whole : .implausible }
    }
    return .incomplete
  }

  /// The length of the record whose header begins at an offset; 0 if the header is incomplete, nil if it is not a
  /// handshake record's. The minor version means nothing (RFC 8446 section 5.1).
  private static func recordLength(_ bytes: RawSpan, at offset: Int) -> Int? {
    let left = bytes.byteCount - offset
    guard bytes.byte(at: offset) == 22 else { return nil }
    if left > 1, bytes.byte(at: offset + 1) != 3 { return nil }
    guard left >= 5 else { return 0 }
    let length = Int(bytes.bigEndian16(at: offset + 3))
    return (1...16_384).contains(length) ? length : nil
  }

  /// Reads one byte of the message; false if it cannot belong to a ClientHello.
  private mutating func take(_ byte: UInt8) -> Bool {
    if position == 0, byte != 1 { return false }
    // The last bytes are enough: `value` is used for length fields only.
    value = (value & 0xFFFF) << 8 | Int(byte)
    position += 1
    guard position == fieldEnd else { return true }
    // An empty field ends at once.
    repeat {
      guard finishField() else { return false }
    } while field != .end && position == fieldEnd
    return field == .end || fieldEnd <= messageEnd
  }

  /// Ends the current field and begins the next one. False if its value is impossible.
  private mutating func finishField() -> Bool {
    let value = value
    self.value = 0
    switch field {
    case .header:
      messageEnd = 4 + (value & 0xFF_FFFF)
      guard messageEnd <= ClientHelloForm.longest else { return false }
      next(.version, 2)
    // `supported_versions` decides, whatever version this field names (RFC 8446 section 4.2.1).
    case .version: next(.random, 32)
    case .random: next(.sessionLength, 1)
    case .sessionLength:
      guard value <= 32 else { return false }
      next(.session, value)
    case .session: next(.suitesLength, 2)
    case .suitesLength:
      guard value >= 2, value.isMultiple(of: 2) else { return false }
      next(.suites, value)
    case .suites: next(.methodsLength, 1)
    case .methodsLength:
      guard value >= 1 else { return false }
      next(.methods, value)
    // A ClientHello without extensions ends here.
    case .methods: next(position == messageEnd ? .end : .extensionsLength, position == messageEnd ? 0 : 2)
    case .extensionsLength:
      listEnd = position + value
      guard listEnd == messageEnd else { return false }
      nextExtension()
    case .extensionHeader:
      next(.extensionBody, value & 0xFFFF)
      return fieldEnd <= listEnd
    case .extensionBody: nextExtension()
    case .end: return false
    }
    return true
  }

  private mutating func nextExtension() {
    next(position == listEnd ? .end : .extensionHeader, position == listEnd ? 0 : 4)
  }

  private mutating func next(_ field: Field, _ byteCount: Int) {
    self.field = field
    fieldEnd = position + byteCount
  }
}
