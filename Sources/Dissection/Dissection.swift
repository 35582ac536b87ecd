/// What a run of bytes is, explained part by part: for people who look at what went wrong on a wire.
public struct Dissection: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable {
    /// A STUN message.
    case message = "stun"
    /// One of RFC 3489, without the magic cookie.
    case classic = "rfc3489"
    case channelData = "channel-data"
    /// Neither.
    case other
  }

  /// One attribute, as it lies in the message.
  public struct Attribute: Hashable, Sendable {
    public var type: UInt16
    /// `XOR-MAPPED-ADDRESS`; `unknown` with the type where the registry has no name.
    public var name: String
    /// Where its header begins.
    public var offset: Int
    /// Of the value, without padding.
    public var byteCount: Int
    /// The value in words.
    public var text: String
    /// What is wrong with it, or worth knowing.
    public var remarks: [String] = []
  }

  public var kind: Kind
  /// `Allocate request`, `ChannelData on 0x4001`, or what else it seems to be.
  public var title: String
  public var byteCount: Int
  /// In hexadecimal; nil for what has none.
  public var transaction: String?
  public var attributes: [Attribute] = []
  /// ChannelData's data, or other bytes: their beginning in hexadecimal, and what they may be.
  public var content: String?
  /// What breaks the protocol.
  public var problems: [String] = []
  /// Whether FINGERPRINT is right; nil: there is none.
  public var isFingerprintRight: Bool?
  /// Whether the integrity attribute is right; nil: there is none, or nothing to check it with.
  public var isIntegrityRight: Bool?
}

/// What is known about who signed a message.
public struct IntegritySource: Sendable {
  public var username: [UInt8]?
  /// One password in the forms that clients make keys from; empty: none is known.
  public var passwords: [[UInt8]]
  /// Of time-limited credentials: makes the password of every user name.
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

  /// The first 32 bytes, and that there are more.
  var preview: String {
    let all = Array(self)
    return Array(all.prefix(32)).hexadecimal + (all.count > 32 ? "…" : "")
  }
}

func hexadecimal(_ value: UInt16) -> String {
  let text = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: 4 - text.utf8.count) + text
}
