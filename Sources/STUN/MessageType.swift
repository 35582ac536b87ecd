/// The 12-bit method of a message (RFC 8489 section 5; TURN's are in RFC 8656 section 17, TCP relaying's
/// in RFC 6062 section 6.1).
public struct Method: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x0FFF }

  public static let binding = Method(rawValue: 0x001)
  public static let allocate = Method(rawValue: 0x003)
  public static let refresh = Method(rawValue: 0x004)
  public static let send = Method(rawValue: 0x006)
  public static let data = Method(rawValue: 0x007)
  public static let createPermission = Method(rawValue: 0x008)
  public static let channelBind = Method(rawValue: 0x009)
  public static let connect = Method(rawValue: 0x00A)
  public static let connectionBind = Method(rawValue: 0x00B)
  public static let connectionAttempt = Method(rawValue: 0x00C)
}

/// Request, indication, success response or error response.
public enum MessageClass: UInt16, Hashable, Sendable {
  case request = 0b00
  case indication = 0b01
  case success = 0b10
  case error = 0b11
}

/// The first 16 bits of a message: class and method interleaved (RFC 8489 section 5, figure 3).
///
/// ```
///   0                 1
///   2  3  4 5 6 7 8 9 0 1 2 3 4 5
///  +--+--+-+-+-+-+-+-+-+-+-+-+-+-+
///  |M |M |M|M|M|C|M|M|M|C|M|M|M|M|
///  |11|10|9|8|7|1|6|5|4|0|3|2|1|0|
///  +--+--+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
public struct MessageType: Hashable, Sendable {
  public let method: Method
  public let messageClass: MessageClass

  @inlinable
  public init(_ method: Method, _ messageClass: MessageClass) {
    self.method = method
    self.messageClass = messageClass
  }

  /// Reads the 16 bits; nil unless the two top bits are zero, as in every STUN message.
  @inlinable
  public init?(bits: UInt16) {
    guard bits & 0xC000 == 0 else { return nil }
    method = Method(rawValue: bits & 0x000F | bits >> 1 & 0x0070 | bits >> 2 & 0x0F80)
    messageClass =
      switch (bits & 0x0100 != 0, bits & 0x0010 != 0) {
      case (false, false): .request
      case (false, true): .indication
      case (true, false): .success
      case (true, true): .error
      }
  }

  @inlinable public var bits: UInt16 {
    let m = method.rawValue
    let c = messageClass.rawValue
    return m & 0x000F | (m & 0x0070) << 1 | (m & 0x0F80) << 2 | (c & 0b01) << 4 | (c & 0b10) << 7
  }
}
