/// The registries of IANA in words, so far as messages on the wire need them.
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

  static func attribute(_ type: UInt16) -> String? { attributes[type] }

  private static let attributes: [UInt16: String] = [
    0x0001: "MAPPED-ADDRESS", 0x0002: "RESPONSE-ADDRESS", 0x0003: "CHANGE-REQUEST", 0x0004: "SOURCE-ADDRESS",
    0x0005: "CHANGED-ADDRESS", 0x0006: "USERNAME", 0x0007: "PASSWORD", 0x0008: "MESSAGE-INTEGRITY",
    0x0009: "ERROR-CODE", 0x000A: "UNKNOWN-ATTRIBUTES", 0x000B: "REFLECTED-FROM", 0x000C: "CHANNEL-NUMBER",
    0x000D: "LIFETIME", 0x0010: "BANDWIDTH", 0x0012: "XOR-PEER-ADDRESS", 0x0013: "DATA", 0x0014: "REALM",
    0x0015: "NONCE", 0x0016: "XOR-RELAYED-ADDRESS", 0x0017: "REQUESTED-ADDRESS-FAMILY", 0x0018: "EVEN-PORT",
    0x0019: "REQUESTED-TRANSPORT", 0x001A: "DONT-FRAGMENT", 0x001B: "ACCESS-TOKEN",
    0x001C: "MESSAGE-INTEGRITY-SHA256", 0x001D: "PASSWORD-ALGORITHM", 0x001E: "USERHASH",
    0x0020: "XOR-MAPPED-ADDRESS", 0x0021: "TIMER-VAL", 0x0022: "RESERVATION-TOKEN", 0x0024: "PRIORITY",
    0x0025: "USE-CANDIDATE", 0x0026: "PADDING", 0x0027: "RESPONSE-PORT", 0x002A: "CONNECTION-ID",
    0x8000: "ADDITIONAL-ADDRESS-FAMILY", 0x8001: "ADDRESS-ERROR-CODE", 0x8002: "PASSWORD-ALGORITHMS",
    0x8003: "ALTERNATE-DOMAIN", 0x8004: "ICMP", 0x8020: "XOR-MAPPED-ADDRESS (draft)", 0x8022: "SOFTWARE",
    0x8023: "ALTERNATE-SERVER", 0x8025: "TRANSACTION_TRANSMIT_COUNTER", 0x8027: "CACHE-TIMEOUT",
    0x8028: "FINGERPRINT", 0x8029: "ICE-CONTROLLED", 0x802A: "ICE-CONTROLLING", 0x802B: "RESPONSE-ORIGIN",
    0x802C: "OTHER-ADDRESS", 0x802D: "ECN-CHECK", 0x802E: "THIRD-PARTY-AUTHORIZATION", 0x802F: "ORIGIN",
    0x8030: "MOBILITY-TICKET", 0xC000: "CISCO-STUN-FLOWDATA", 0xC057: "GOOG-NETWORK-INFO",
    0xC059: "GOOG-MISC-INFO", 0xC060: "GOOG-MESSAGE-INTEGRITY-32",
  ]

  /// What data may be by its first byte (RFC 7983), for people.
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
