public import NetworkTypes

// ```
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//  |0 0 0 0 0 0 0 0|    Family     |         X-Port                |
//  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//  |                X-Address (32 bits or 128 bits)                |
//  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ```

/// The mask of an IPv6 XOR address: the magic cookie and the transaction ID (RFC 8489 section 14.2).
@inlinable
func mask(_ transactionID: TransactionID) -> (high: UInt64, low: UInt64) {
  (UInt64(0x2112_A442) << 32 | UInt64(transactionID.high), transactionID.low)
}

/// Reads the value of XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS or XOR-RELAYED-ADDRESS.
public func xorAddress(_ value: RawSpan, transactionID: TransactionID) throws(DecodingError) -> SocketAddress {
  let plain = try plainAddress(value)
  let port = plain.port ^ 0x2112
  switch plain.family {
  case .ipv4:
    return SocketAddress(IPAddress(ipv4: plain.address.ipv4Bits ^ magicCookie), port: port)
  case .ipv6:
    let mask = mask(transactionID)
    return SocketAddress(
      IPAddress(ipv6High: plain.address.high ^ mask.high, low: plain.address.low ^ mask.low), port: port)
  }
}

/// Reads the value of MAPPED-ADDRESS, ALTERNATE-SERVER, RESPONSE-ORIGIN or OTHER-ADDRESS (RFC 8489 section 14.1).
public func plainAddress(_ value: RawSpan) throws(DecodingError) -> SocketAddress {
  guard value.byteCount >= 4 else { throw .malformedAttribute }
  let port = value.bigEndian16(at: 2)
  switch (value.byte(at: 1), value.byteCount) {
  case (1, 8):
    return SocketAddress(IPAddress(ipv4: value.bigEndian32(at: 4)), port: port)
  case (2, 20):
    return SocketAddress(IPAddress(ipv6High: value.bigEndian64(at: 4), low: value.bigEndian64(at: 12)), port: port)
  default:
    throw .malformedAttribute
  }
}

extension MessageView {
  /// The address in the first XOR address attribute of this type; nil if there is none.
  public func xorAddress(_ attribute: AttributeType) throws(DecodingError) -> SocketAddress? {
    guard let value = value(of: attribute) else { return nil }
    return try STUN.xorAddress(value, transactionID: transactionID)
  }

  /// The address in the first plain address attribute of this type; nil if there is none.
  public func plainAddress(_ attribute: AttributeType) throws(DecodingError) -> SocketAddress? {
    guard let value = value(of: attribute) else { return nil }
    return try STUN.plainAddress(value)
  }
}

extension MessageWriter {
  /// Appends an XOR address attribute.
  public mutating func append(_ attribute: AttributeType, xor address: SocketAddress) {
    let port = address.port ^ 0x2112
    switch address.family {
    case .ipv4:
      append(attribute, family: 1, port: port, byteCount: 8)
      append(raw32: address.address.ipv4Bits ^ magicCookie)
      endAttribute(byteCount: 8)
    case .ipv6:
      let mask = mask(transactionID)
      append(attribute, family: 2, port: port, byteCount: 20)
      append(raw64: address.address.high ^ mask.high)
      append(raw64: address.address.low ^ mask.low)
      endAttribute(byteCount: 20)
    }
  }

  /// Appends an address attribute without XOR.
  public mutating func append(_ attribute: AttributeType, plain address: SocketAddress) {
    switch address.family {
    case .ipv4:
      append(attribute, family: 1, port: address.port, byteCount: 8)
      append(raw32: address.address.ipv4Bits)
      endAttribute(byteCount: 8)
    case .ipv6:
      append(attribute, family: 2, port: address.port, byteCount: 20)
      append(raw64: address.address.high)
      append(raw64: address.address.low)
      endAttribute(byteCount: 20)
    }
  }

  private mutating func append(_ attribute: AttributeType, family: UInt8, port: UInt16, byteCount: Int) {
    beginAttribute(attribute, byteCount: byteCount)
    append(raw8: 0)
    append(raw8: family)
    append(raw16: port)
  }
}
