/// The explanation of a datagram or message, part by part.
public struct Dissection: Hashable, Sendable {
  /// The protocol of the bytes.
  public enum Kind: String, Hashable, Sendable {
    /// A STUN message.
    case message = "stun"
    /// A STUN message of RFC 3489, without the magic cookie.
    case classic = "rfc3489"
    case channelData = "channel-data"
    /// Neither STUN nor ChannelData.
    case other
  }

  /// One attribute of the message, in the order of the bytes.
  public struct Attribute: Hashable, Sendable {
    public var type: UInt16
    /// `XOR-MAPPED-ADDRESS`; `unknown` with the type if the registry has no name.
    public var name: String
    /// The offset of the attribute's header in the message.
    public var offset: Int
    /// The length of the value, without padding.
    public var byteCount: Int
    /// The value as readable text.
    public var text: String
    /// Errors in the attribute, and remarks about it.
    public var remarks: [String] = []
  }

  public var kind: Kind
  /// `Allocate request`, `ChannelData on 0x4001`, or the name of another protocol.
  public var title: String
  public var byteCount: Int
  /// The transaction ID in hexadecimal; nil if there is none.
  public var transaction: String?
  public var attributes: [Attribute] = []
  /// The beginning of ChannelData's data or of other bytes, in hexadecimal, and a guess at their protocol.
  public var content: String?
  /// Violations of the protocol.
  public var problems: [String] = []
  /// Whether FINGERPRINT is correct; nil: there is none.
  public var isFingerprintRight: Bool?
  /// Whether the integrity attribute verifies; nil: there is none, or no key to verify it.
  public var isIntegrityRight: Bool?
}

/// The credentials that verify integrity attributes.
public struct IntegritySource: Sendable {
  public var username: [UInt8]?
  /// One password in each form from which clients derive keys; empty if it is unknown.
  public var passwords: [[UInt8]]
  /// The shared secret of time-limited credentials, which gives the password of every user name.
  public var secret: [UInt8]?

  public init(username: [UInt8]? = nil, passwords: [[UInt8]] = [], secret: [UInt8]? = nil) {
    self.username = username
    self.passwords = passwords
    self.secret = secret
  }

  var isEmpty: Bool { passwords.isEmpty && secret == nil }
}

extension Sequence<UInt8> {
  /// The bytes as lower-case hexadecimal.
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in self {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The first 32 bytes, with "…" if there are more.
  var preview: String {
    let all = Array(self)
    return Array(all.prefix(32)).hexadecimal + (all.count > 32 ? "…" : "")
  }
}

/// "0x" and four lower-case digits.
func hexadecimal(_ value: UInt16) -> String {
  let text = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: 4 - text.utf8.count) + text
}
