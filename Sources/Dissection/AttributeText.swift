internal import Crypto
internal import NetworkTypes
internal import STUN

/// Attribute values as readable text.
enum AttributeText {
  enum Outcome {
    case text(String)
    case malformed(String)
    case unknown
  }

  static func text(_ type: UInt16, _ value: [UInt8], _ transaction: TransactionID) -> Outcome {
    switch type {
    case 0x0001, 0x0002, 0x0004, 0x0005, 0x000B, 0x8023, 0x802B, 0x802C:
      return address((try? plainAddress(value.span.rawBytes)))
    case 0x0012, 0x0016, 0x0020, 0x8020:
      return address((try? xorAddress(value.span.rawBytes, transactionID: transaction)))
    case 0x0006: return .text(username(value))
    case 0x0014, 0x8003, 0x8022, 0x802E, 0x802F: return .text(quoted(value))
    case 0x0015: return .text(nonce(value))
    case 0x0009: return errorCode(value, at: 2)
    case 0x8001: return errorCode(value, at: 2, familyAt: 0)
    case 0x000A: return types(value)
    case 0x0003: return changeRequest(value)
    case 0x0018:
      return value.count == 1
        ? .text(value[0] & 0x80 == 0 ? "an even port" : "an even port, and the next one reserved") : length(1, value)
    case 0x001A, 0x0025: return value.isEmpty ? .text("set") : length(0, value)
    case 0x0008: return value.count == 20 ? .text(value.hexadecimal) : length(20, value)
    case 0x001C:
      return (16...32).contains(value.count) && value.count & 3 == 0
        ? .text(value.hexadecimal) : .malformed("must have 16 to 32 bytes, a multiple of 4")
    case 0x001E: return value.count == 32 ? .text(value.hexadecimal) : length(32, value)
    case 0x0022, 0x8029, 0x802A: return value.count == 8 ? .text(value.hexadecimal) : length(8, value)
    case 0x001D: return algorithms(value, isList: false)
    case 0x8002: return algorithms(value, isList: true)
    case 0x8004: return icmp(value)
    case 0x0013: return .text("\(value.count) bytes: \(value.preview) (\(Names.content(value)))")
    case 0x001B, 0x0026, 0x8030: return .text("\(value.count) bytes")
    default: return oneWord(type, value) ?? .unknown
    }
  }

  /// The attributes whose value is one 32-bit word; nil for every other type.
  private static func oneWord(_ type: UInt16, _ value: [UInt8]) -> Outcome? {
    switch type {
    case 0x000C: return words(value) { "\(hexadecimal(UInt16(truncatingIfNeeded: $0 >> 16)))" }
    case 0x000D: return words(value) { "\($0) s" }
    case 0x0010: return words(value) { "\($0) kbit/s" }
    case 0x0017, 0x8000: return words(value) { family(UInt8(truncatingIfNeeded: $0 >> 24)) }
    case 0x0019: return words(value) { transport(UInt8(truncatingIfNeeded: $0 >> 24)) }
    case 0x0024, 0x002A: return words(value) { "\($0)" }
    case 0x0027: return words(value) { "port \($0 >> 16)" }
    case 0x8028: return words(value) { _ in value.hexadecimal }
    default: return nil
    }
  }

  // MARK: - Shapes

  private static func address(_ address: SocketAddress?) -> Outcome {
    guard let address else { return .malformed("no address: 8 bytes for IPv4 and 20 for IPv6, with family 1 or 2") }
    return .text(address.description)
  }

  private static func words(_ value: [UInt8], _ text: (UInt32) -> String) -> Outcome {
    guard value.count == 4 else { return length(4, value) }
    return .text(text(value.span.rawBytes.bigEndian32(at: 0)))
  }

  private static func length(_ count: Int, _ value: [UInt8]) -> Outcome {
    .malformed("must have \(count) bytes, and has \(value.count)")
  }

  private static func quoted(_ value: [UInt8]) -> String {
    guard let text = String(validating: value, as: UTF8.self) else { return value.preview + " (no UTF-8)" }
    return "\"\(text)\""
  }

  // MARK: - Attributes

  private static func username(_ value: [UInt8]) -> String {
    guard value.contains(UInt8(ascii: ":")), let expiry = TimeLimitedCredential.expiry(ofUsername: value),
      expiry > UnixTime(seconds: 1_000_000_000)
    else { return quoted(value) }
    return "\(quoted(value)) (time-limited, until \(expiry) seconds since 1970)"
  }

  /// RFC 8489 section 9.2: the features that the nonce cookie announces.
  private static func nonce(_ value: [UInt8]) -> String {
    let cookie = Array("obMatJos2".utf8)
    guard value.count >= 13, value.starts(with: cookie),
      let bits = Base64.decode(String(decoding: value[9..<13], as: UTF8.self)), bits.count == 3
    else { return quoted(value) }
    var features: [String] = []
    if bits[0] & 0x80 != 0 { features.append("password algorithms") }
    if bits[0] & 0x40 != 0 { features.append("username anonymity") }
    return "\(quoted(value)) (RFC 8489: \(features.isEmpty ? "no features" : features.joined(separator: ", ")))"
  }

  private static func errorCode(_ value: [UInt8], at offset: Int, familyAt: Int? = nil) -> Outcome {
    guard value.count >= 4 else { return length(4, value) }
    let code = UInt16(value[offset] & 7) * 100 + UInt16(value[offset + 1])
    guard (300...699).contains(code), value[offset + 1] < 100 else { return .malformed("no code of 300 to 699") }
    let phrase = quoted(Array(value.dropFirst(4)))
    return .text((familyAt.map { family(value[$0]) + ": " } ?? "") + "\(code) \(phrase)")
  }

  private static func types(_ value: [UInt8]) -> Outcome {
    guard value.count & 1 == 0 else { return .malformed("an odd number of bytes") }
    let names = stride(from: 0, to: value.count, by: 2).prefix(32).map { index in
      let type = UInt16(value[index]) << 8 | UInt16(value[index + 1])
      return Names.attribute(type) ?? hexadecimal(type)
    }
    return .text(names.joined(separator: ", "))
  }

  private static func changeRequest(_ value: [UInt8]) -> Outcome {
    words(value) { word in
      switch (word & 4 != 0, word & 2 != 0) {
      case (true, true): "answer from the other address and port"
      case (true, false): "answer from the other address"
      case (false, true): "answer from the other port"
      case (false, false): "answer from this address and port"
      }
    }
  }

  private static func family(_ code: UInt8) -> String {
    switch code {
    case 1: "IPv4"
    case 2: "IPv6"
    default: "family \(code)"
    }
  }

  private static func transport(_ code: UInt8) -> String {
    switch code {
    case 17: "UDP"
    case 6: "TCP"
    default: "protocol \(code)"
    }
  }

  private static func algorithms(_ value: [UInt8], isList: Bool) -> Outcome {
    var names: [String] = []
    var index = 0
    while index + 4 <= value.count, names.count < 16 {
      let number = UInt16(value[index]) << 8 | UInt16(value[index + 1])
      let length = Int(value[index + 2]) << 8 | Int(value[index + 3])
      names.append(number == 1 ? "MD5" : number == 2 ? "SHA-256" : hexadecimal(number))
      index += 4 + ((length + 3) & ~3)
    }
    guard index == value.count, isList || names.count == 1 else {
      return .malformed("the entries do not fit the length")
    }
    return .text(names.joined(separator: ", "))
  }

  /// RFC 8656 section 18.13: seven bits of type and nine bits of code.
  private static func icmp(_ value: [UInt8]) -> Outcome {
    guard value.count == 8 else { return length(8, value) }
    let word = value.span.rawBytes.bigEndian16(at: 2)
    return .text("type \(word >> 9), code \(word & 0x1FF), data \(value.suffix(4).hexadecimal)")
  }
}
