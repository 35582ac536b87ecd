/// An attribute's type. All code points that the server and the client use are listed here.
public struct AttributeType: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Types below 0x8000 are comprehension-required: the server answers 420 to a request with an unknown one (RFC 8489
  /// section 14).
  @inlinable public var isComprehensionRequired: Bool { rawValue < 0x8000 }

  // RFC 8489 section 18.3.
  public static let mappedAddress = AttributeType(rawValue: 0x0001)
  public static let username = AttributeType(rawValue: 0x0006)
  public static let messageIntegrity = AttributeType(rawValue: 0x0008)
  public static let errorCode = AttributeType(rawValue: 0x0009)
  public static let unknownAttributes = AttributeType(rawValue: 0x000A)
  public static let realm = AttributeType(rawValue: 0x0014)
  public static let nonce = AttributeType(rawValue: 0x0015)
  public static let messageIntegritySHA256 = AttributeType(rawValue: 0x001C)
  public static let passwordAlgorithm = AttributeType(rawValue: 0x001D)
  public static let userHash = AttributeType(rawValue: 0x001E)
  public static let xorMappedAddress = AttributeType(rawValue: 0x0020)
  public static let passwordAlgorithms = AttributeType(rawValue: 0x8002)
  public static let alternateDomain = AttributeType(rawValue: 0x8003)
  public static let software = AttributeType(rawValue: 0x8022)
  public static let alternateServer = AttributeType(rawValue: 0x8023)
  public static let fingerprint = AttributeType(rawValue: 0x8028)

  // RFC 8656 section 18.
  public static let channelNumber = AttributeType(rawValue: 0x000C)
  public static let lifetime = AttributeType(rawValue: 0x000D)
  public static let xorPeerAddress = AttributeType(rawValue: 0x0012)
  public static let data = AttributeType(rawValue: 0x0013)
  public static let xorRelayedAddress = AttributeType(rawValue: 0x0016)
  public static let requestedAddressFamily = AttributeType(rawValue: 0x0017)
  public static let evenPort = AttributeType(rawValue: 0x0018)
  public static let requestedTransport = AttributeType(rawValue: 0x0019)
  public static let dontFragment = AttributeType(rawValue: 0x001A)
  public static let reservationToken = AttributeType(rawValue: 0x0022)
  public static let additionalAddressFamily = AttributeType(rawValue: 0x8000)
  public static let addressErrorCode = AttributeType(rawValue: 0x8001)
  public static let icmp = AttributeType(rawValue: 0x8004)

  // RFC 7635, RFC 6062, RFC 8016, RFC 5780.
  public static let accessToken = AttributeType(rawValue: 0x001B)
  public static let thirdPartyAuthorization = AttributeType(rawValue: 0x802E)
  public static let connectionID = AttributeType(rawValue: 0x002A)
  public static let mobilityTicket = AttributeType(rawValue: 0x8030)
  public static let changeRequest = AttributeType(rawValue: 0x0003)
  public static let padding = AttributeType(rawValue: 0x0026)
  public static let responsePort = AttributeType(rawValue: 0x0027)
  public static let responseOrigin = AttributeType(rawValue: 0x802B)
  public static let otherAddress = AttributeType(rawValue: 0x802C)

  // RFC 3489 section 11.2, in answers to clients of that RFC.
  public static let sourceAddress = AttributeType(rawValue: 0x0004)
  public static let changedAddress = AttributeType(rawValue: 0x0005)

  /// The index under which `MessageView` records the first occurrence of a known type; nil for unknown types.
  // The function is longer than 40 lines, because it is a table with one line for each type. A switch allocates
  // nothing.
  var slot: Int? {
    switch rawValue {
    case 0x0001: 0
    case 0x0006: 1
    case 0x0008: 2
    case 0x0009: 3
    case 0x000A: 4
    case 0x0014: 5
    case 0x0015: 6
    case 0x001C: 7
    case 0x001D: 8
    case 0x001E: 9
    case 0x0020: 10
    case 0x8002: 11
    case 0x8003: 12
    case 0x8022: 13
    case 0x8023: 14
    case 0x8028: 15
    case 0x000C: 16
    case 0x000D: 17
    case 0x0012: 18
    case 0x0013: 19
    case 0x0016: 20
    case 0x0017: 21
    case 0x0018: 22
    case 0x0019: 23
    case 0x001A: 24
    case 0x0022: 25
    case 0x8000: 26
    case 0x8001: 27
    case 0x8004: 28
    case 0x001B: 29
    case 0x802E: 30
    case 0x002A: 31
    case 0x8030: 32
    case 0x0003: 33
    case 0x0026: 34
    case 0x0027: 35
    case 0x802B: 36
    case 0x802C: 37
    default: nil
    }
  }

  static let slotCount = 38
}
