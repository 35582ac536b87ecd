internal import STUN

/// Names of the code points in IANA's registries.
enum Names {
  static func method(_ method: UInt16) -> String {
    switch method {
    case 0x001: "Binding"
    case 0x002: "Shared Secret"
    case 0x003: "Allocate"
    case 0x004: "Refresh"
    case 0x006: "Send"
    case 0x007: "Data"
    case 0x008: "CreatePermission"
    case 0x009: "ChannelBind"
    case 0x00A: "Connect"
    case 0x00B: "ConnectionBind"
    case 0x00C: "ConnectionAttempt"
    case 0x080: "GOOG-PING"
    default: "method \(hexadecimal(method))"
    }
  }

  static func attribute(_ type: UInt16) -> String? { AttributeType(rawValue: type).name }

  /// A guess at the protocol of data by its first byte (RFC 7983).
  static func content(_ bytes: some Collection<UInt8>) -> String {
    guard let first = bytes.first else { return "nothing" }
    switch first {
    case 0...3: return "STUN by its first byte"
    case 16...19: return "ZRTP by its first byte"
    case 20...63: return "DTLS by its first byte"
    case 64...79: return "TURN ChannelData by its first byte"
    case 128...191: return "RTP or RTCP by its first byte"
    default: return "unknown"
    }
  }
}
