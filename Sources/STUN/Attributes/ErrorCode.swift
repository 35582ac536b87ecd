internal import NetworkTypes

/// An error response's code and its recommended reason phrase (RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062
/// section 6.3, RFC 8016 section 6.2).
public struct ErrorCode: RawRepresentable, Hashable, Sendable {
  /// The code, 300 to 699.
  public let rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static let tryAlternate = ErrorCode(rawValue: 300)
  public static let badRequest = ErrorCode(rawValue: 400)
  public static let unauthenticated = ErrorCode(rawValue: 401)
  public static let forbidden = ErrorCode(rawValue: 403)
  public static let mobilityForbidden = ErrorCode(rawValue: 405)
  public static let unknownAttribute = ErrorCode(rawValue: 420)
  public static let allocationMismatch = ErrorCode(rawValue: 437)
  public static let staleNonce = ErrorCode(rawValue: 438)
  public static let addressFamilyNotSupported = ErrorCode(rawValue: 440)
  public static let wrongCredentials = ErrorCode(rawValue: 441)
  public static let unsupportedTransportProtocol = ErrorCode(rawValue: 442)
  public static let peerAddressFamilyMismatch = ErrorCode(rawValue: 443)
  public static let connectionAlreadyExists = ErrorCode(rawValue: 446)
  public static let connectionTimeoutOrFailure = ErrorCode(rawValue: 447)
  public static let allocationQuotaReached = ErrorCode(rawValue: 486)
  public static let serverError = ErrorCode(rawValue: 500)
  public static let insufficientCapacity = ErrorCode(rawValue: 508)

  /// The reason phrase, which browsers show. RFC 5389 calls 401 "Unauthorized", and so do today's clients.
  public var reason: String {
    switch rawValue {
    case 300: "Try Alternate"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 405: "Mobility Forbidden"
    case 420: "Unknown Attribute"
    case 437: "Allocation Mismatch"
    case 438: "Stale Nonce"
    case 440: "Address Family not Supported"
    case 441: "Wrong Credentials"
    case 442: "Unsupported Transport Protocol"
    case 443: "Peer Address Family Mismatch"
    case 446: "Connection Already Exists"
    case 447: "Connection Timeout or Failure"
    case 486: "Allocation Quota Reached"
    case 500: "Server Error"
    case 508: "Insufficient Capacity"
    default: "Error"
    }
  }
}

extension MessageWriter {
  /// Appends ERROR-CODE.
  ///
  /// - Parameter reason: the reason phrase, fewer than 128 characters; nil: the recommended one.
  public mutating func append(_ error: ErrorCode, reason: String? = nil) {
    let reason = reason ?? error.reason
    beginAttribute(.errorCode, byteCount: 4 + reason.utf8.count)
    append(raw16: 0)
    append(raw8: UInt8(truncatingIfNeeded: error.rawValue / 100))
    append(raw8: UInt8(truncatingIfNeeded: error.rawValue % 100))
    for byte in reason.utf8 { append(raw8: byte) }
    endAttribute(byteCount: 4 + reason.utf8.count)
  }

  /// Appends ADDRESS-ERROR-CODE: the reason why this family, 1 or 2, has no relayed address (RFC 8656 section 18.12).
  public mutating func append(addressErrorOf family: UInt8, _ error: ErrorCode) {
    let reason = error.reason
    beginAttribute(.addressErrorCode, byteCount: 4 + reason.utf8.count)
    append(raw8: family)
    append(raw8: 0)
    append(raw8: UInt8(truncatingIfNeeded: error.rawValue / 100))
    append(raw8: UInt8(truncatingIfNeeded: error.rawValue % 100))
    for byte in reason.utf8 { append(raw8: byte) }
    endAttribute(byteCount: 4 + reason.utf8.count)
  }

  /// Appends UNKNOWN-ATTRIBUTES with the given types (RFC 8489 section 14.13).
  public mutating func append(unknownAttributes types: [AttributeType]) {
    beginAttribute(.unknownAttributes, byteCount: 2 * types.count)
    for type in types { append(raw16: type.rawValue) }
    endAttribute(byteCount: 2 * types.count)
  }
}

extension MessageView {
  /// ADDRESS-ERROR-CODE's family and error code; nil if there is none (RFC 8656 section 18.12).
  public func addressErrorCode() throws(DecodingError) -> (family: UInt8, code: ErrorCode)? {
    guard let value = value(of: .addressErrorCode) else { return nil }
    guard value.byteCount >= 4 else { throw .malformedAttribute }
    let hundreds = UInt16(value.byte(at: 2) & 0x07)
    let number = UInt16(value.byte(at: 3))
    guard (3...6).contains(hundreds), number < 100 else { throw .malformedAttribute }
    return (value.byte(at: 0), ErrorCode(rawValue: hundreds * 100 + number))
  }

  /// The error code and its phrase; nil if there is no ERROR-CODE.
  public func errorCode() throws(DecodingError) -> (code: ErrorCode, reason: String)? {
    guard let value = value(of: .errorCode) else { return nil }
    guard value.byteCount >= 4 else { throw .malformedAttribute }
    let hundreds = UInt16(value.byte(at: 2) & 0x07)
    let number = UInt16(value.byte(at: 3))
    guard (3...6).contains(hundreds), number < 100 else { throw .malformedAttribute }
    let phrase = String(decoding: value.extracting(4..<value.byteCount).copied(), as: UTF8.self)
    return (ErrorCode(rawValue: hundreds * 100 + number), phrase)
  }
}
