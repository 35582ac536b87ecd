internal import NetworkTypes
internal import STUN

/// Reads the attributes of a message, malformed ones too.
struct AttributeReader {
  let bytes: [UInt8]
  let end: Int
  let hasCookie: Bool
  private(set) var username: [UInt8]?
  private(set) var realm: [UInt8]?
  private(set) var fingerprintOffset: Int?
  /// For each integrity attribute: header offset, value length, and whether it is the SHA-256 one.
  private(set) var integrityOffsets: [(Int, Int, Bool)] = []

  /// Limit of explained attributes; a message has room for 16,383.
  private static let limit = 1024

  init(bytes: [UInt8], end: Int, hasCookie: Bool) {
    self.bytes = bytes
    self.end = end
    self.hasCookie = hasCookie
  }

  mutating func readAll(into result: inout Dissection) {
    var offset = headerByteCount
    while offset < end {
      guard offset + 4 <= end else {
        result.problems.append("\(end - offset) bytes at offset \(offset) are no attribute header")
        return
      }
      guard result.attributes.count < Self.limit else {
        result.problems.append("more than \(Self.limit) attributes")
        return
      }
      let type = word(at: offset)
      let count = Int(word(at: offset + 2))
      guard offset + 4 + count <= end else {
        result.problems.append(
          "\(Names.attribute(type) ?? hexadecimal(type)) at offset \(offset) says \(count) bytes, and "
            + "\(end - offset - 4) are left")
        return
      }
      let isIgnored = isBehindIntegrity(type)
      let value = Array(bytes[(offset + 4)..<(offset + 4 + count)])
      var attribute = Dissection.Attribute(
        type: type, name: Names.attribute(type) ?? "unknown", offset: offset, byteCount: count, text: "")
      explain(&attribute, value)
      if isIgnored {
        attribute.remarks.append("after the integrity attribute: receivers ignore it")
      } else {
        take(type, value, offset)
      }
      let padded = min(offset + 4 + ((count + 3) & ~3), end)
      if bytes[(offset + 4 + count)..<padded].contains(where: { $0 != 0 }) {
        attribute.remarks.append("its padding is not zero")
      }
      if fingerprintOffset != nil, fingerprintOffset != offset {
        result.problems.append("\(attribute.name) follows FINGERPRINT, which must be last")
      }
      result.attributes.append(attribute)
      offset = max(padded, offset + 4)
    }
  }

  private func word(at offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }

  /// Whether receivers ignore the attribute because it follows the integrity attribute (RFC 8489 sections 14.5 and
  /// 14.6).
  private func isBehindIntegrity(_ type: UInt16) -> Bool {
    guard !integrityOffsets.isEmpty else { return false }
    return type != 0x8028 && type != 0x001C
  }

  private mutating func take(_ type: UInt16, _ value: [UInt8], _ offset: Int) {
    switch type {
    case 0x0006: username = username ?? value
    case 0x0014: realm = realm ?? value
    case 0x8028 where value.count == 4: fingerprintOffset = fingerprintOffset ?? offset
    case 0x0008 where value.count == 20: integrityOffsets.append((offset, 20, false))
    case 0x001C where (16...32).contains(value.count): integrityOffsets.append((offset, value.count, true))
    default: break
    }
  }

  private func explain(_ attribute: inout Dissection.Attribute, _ value: [UInt8]) {
    let transaction = TransactionID(
      high: bytes.span.rawBytes.bigEndian32(at: 8), low: bytes.span.rawBytes.bigEndian64(at: 12))
    switch AttributeText.text(attribute.type, value, transaction) {
    case .text(let text): attribute.text = text
    case .malformed(let complaint):
      attribute.text = value.preview
      attribute.remarks.append(complaint)
    case .unknown:
      attribute.text = value.preview
      if attribute.type < 0x8000 {
        attribute.remarks.append("comprehension-required: a server that does not know it answers 420")
      }
    }
  }
}
