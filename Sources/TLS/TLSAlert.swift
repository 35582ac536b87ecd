/// The alert with which the other side ended a handshake (RFC 8446 section 6.2).
public struct TLSAlert: Hashable, Sendable, CustomStringConvertible {
  /// The alert's number.
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The name in the RFC, `unknown_ca`; `alert_N` for numbers without one.
  public var description: String {
    switch rawValue {
    case 10: "unexpected_message"
    case 20: "bad_record_mac"
    case 22: "record_overflow"
    case 40: "handshake_failure"
    case 42: "bad_certificate"
    case 43: "unsupported_certificate"
    case 44: "certificate_revoked"
    case 45: "certificate_expired"
    case 46: "certificate_unknown"
    case 47: "illegal_parameter"
    case 48: "unknown_ca"
    case 49: "access_denied"
    case 50: "decode_error"
    case 51: "decrypt_error"
    case 70: "protocol_version"
    case 71: "insufficient_security"
    case 80: "internal_error"
    case 86: "inappropriate_fallback"
    case 109: "missing_extension"
    case 110: "unsupported_extension"
    case 112: "unrecognized_name"
    case 113: "bad_certificate_status_response"
    case 116: "certificate_required"
    case 120: "no_application_protocol"
    default: "alert_\(rawValue)"
    }
  }

  /// The objection as a sentence, if it concerns our certificate.
  public var objection: String? {
    switch rawValue {
    case 42: "the certificate is bad, often because it does not have the requested name"
    case 43: "the certificate has a kind of key or signature that the client does not accept"
    case 44: "the certificate has been revoked"
    case 45: "the certificate has expired or is not valid yet"
    case 46: "the certificate is not accepted, often because it is self-signed or has another name"
    case 48: "the certificate's issuer is not known to the client: it is self-signed, or the chain is not complete"
    default: nil
    }
  }
}
