internal import STUN
internal import Testing

@testable internal import Dissection

/// Compares the program's code points with IANA's "Session Traversal Utilities for NAT (STUN) Parameters"
/// (iana.org/assignments/stun-parameters), as of 2026. For values that IANA lists as reserved, the names are those of
/// RFC 3489 and of drafts, because captures still contain them.
@Suite("IANA registries")
struct RegistryTests {
  private static let attributes = """
    0001 MAPPED-ADDRESS|0002 RESPONSE-ADDRESS|0003 CHANGE-REQUEST|0004 SOURCE-ADDRESS|0005 CHANGED-ADDRESS|0006 USERNAME
    0007 PASSWORD|0008 MESSAGE-INTEGRITY|0009 ERROR-CODE|000A UNKNOWN-ATTRIBUTES|000B REFLECTED-FROM|000C CHANNEL-NUMBER
    000D LIFETIME|0010 BANDWIDTH|0012 XOR-PEER-ADDRESS|0013 DATA|0014 REALM|0015 NONCE|0016 XOR-RELAYED-ADDRESS
    0017 REQUESTED-ADDRESS-FAMILY|0018 EVEN-PORT|0019 REQUESTED-TRANSPORT|001A DONT-FRAGMENT|001B ACCESS-TOKEN
    001C MESSAGE-INTEGRITY-SHA256|001D PASSWORD-ALGORITHM|001E USERHASH|0020 XOR-MAPPED-ADDRESS|0021 TIMER-VAL
    0022 RESERVATION-TOKEN|0024 PRIORITY|0025 USE-CANDIDATE|0026 PADDING|0027 RESPONSE-PORT|002A CONNECTION-ID
    8000 ADDITIONAL-ADDRESS-FAMILY|8001 ADDRESS-ERROR-CODE|8002 PASSWORD-ALGORITHMS|8003 ALTERNATE-DOMAIN|8004 ICMP
    8022 SOFTWARE|8023 ALTERNATE-SERVER|8025 TRANSACTION_TRANSMIT_COUNTER|8027 CACHE-TIMEOUT|8028 FINGERPRINT
    8029 ICE-CONTROLLED|802A ICE-CONTROLLING|802B RESPONSE-ORIGIN|802C OTHER-ADDRESS|802D ECN-CHECK STUN
    802E THIRD-PARTY-AUTHORIZATION|8030 MOBILITY-TICKET|C000 CISCO-STUN-FLOWDATA|C001 ENF-FLOW-DESCRIPTION
    C002 ENF-NETWORK-STATUS|C057 GOOG-NETWORK-INFO|C058 GOOG-LAST-ICE-CHECK-RECEIVED|C059 GOOG-MISC-INFO
    C05A GOOG-OBSOLETE-1|C05B GOOG-CONNECTION-ID|C05C GOOG-DELTA|C05D GOOG-DELTA-ACK|C060 GOOG-MESSAGE-INTEGRITY-32
    C070 DTLS-IN-STUN|C071 DTLS-IN-STUN-ACKNOWLEDGEMENT
    """
  /// Values of drafts, which captures contain and no registry has.
  private static let drafts: [UInt16: String] = [0x8020: "XOR-MAPPED-ADDRESS (draft)", 0x802F: "ORIGIN"]

  private static let methods = """
    001 Binding|002 Shared Secret|003 Allocate|004 Refresh|006 Send|007 Data|008 CreatePermission|009 ChannelBind|00A Connect
    00B ConnectionBind|00C ConnectionAttempt
    """

  private static let errorCodes = """
    300 Try Alternate|400 Bad Request|403 Forbidden|405 Mobility Forbidden|420 Unknown Attribute
    437 Allocation Mismatch|438 Stale Nonce|440 Address Family not Supported|441 Wrong Credentials
    442 Unsupported Transport Protocol|443 Peer Address Family Mismatch|446 Connection Already Exists
    447 Connection Timeout or Failure|486 Allocation Quota Reached|500 Server Error|508 Insufficient Capacity
    """

  private static func entries(_ table: String, radix: Int) -> [UInt16: String] {
    var result: [UInt16: String] = [:]
    for entry in table.split(whereSeparator: { $0 == "|" || $0 == "\n" }) {
      let parts = entry.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let code = UInt16(parts[0], radix: radix) else { continue }
      result[code] = String(parts[1])
    }
    return result
  }

  @Test("Attributes have their registered names, and unregistered code points have none")
  func attributeNames() {
    let registered = Self.entries(Self.attributes, radix: 16).merging(Self.drafts) { $1 }
    #expect(registered.count == 67)
    for code in UInt16.min...UInt16.max {
      let name = Names.attribute(code)
      if name != registered[code] {
        Issue.record("0x\(String(code, radix: 16)): \(name ?? "nil"), registered \(registered[code] ?? "nil")")
      }
    }
  }

  @Test(
    "Each attribute type of the codec has the code point of its name",
    arguments: [
      (AttributeType.mappedAddress, "MAPPED-ADDRESS"), (.username, "USERNAME"),
      (.messageIntegrity, "MESSAGE-INTEGRITY"),
      (.errorCode, "ERROR-CODE"), (.unknownAttributes, "UNKNOWN-ATTRIBUTES"), (.realm, "REALM"), (.nonce, "NONCE"),
      (.messageIntegritySHA256, "MESSAGE-INTEGRITY-SHA256"), (.passwordAlgorithm, "PASSWORD-ALGORITHM"),
      (.userHash, "USERHASH"),
      (.xorMappedAddress, "XOR-MAPPED-ADDRESS"), (.passwordAlgorithms, "PASSWORD-ALGORITHMS"),
      (.alternateDomain, "ALTERNATE-DOMAIN"),
      (.software, "SOFTWARE"), (.alternateServer, "ALTERNATE-SERVER"), (.fingerprint, "FINGERPRINT"),
      (.channelNumber, "CHANNEL-NUMBER"),
      (.lifetime, "LIFETIME"), (.xorPeerAddress, "XOR-PEER-ADDRESS"), (.data, "DATA"),
      (.xorRelayedAddress, "XOR-RELAYED-ADDRESS"),
      (.requestedAddressFamily, "REQUESTED-ADDRESS-FAMILY"), (.evenPort, "EVEN-PORT"),
      (.requestedTransport, "REQUESTED-TRANSPORT"),
      (.dontFragment, "DONT-FRAGMENT"), (.reservationToken, "RESERVATION-TOKEN"),
      (.additionalAddressFamily, "ADDITIONAL-ADDRESS-FAMILY"), (.addressErrorCode, "ADDRESS-ERROR-CODE"),
      (.icmp, "ICMP"),
      (.accessToken, "ACCESS-TOKEN"), (.thirdPartyAuthorization, "THIRD-PARTY-AUTHORIZATION"),
      (.connectionID, "CONNECTION-ID"),
      (.mobilityTicket, "MOBILITY-TICKET"), (.changeRequest, "CHANGE-REQUEST"), (.padding, "PADDING"),
      (.responsePort, "RESPONSE-PORT"),
      (.responseOrigin, "RESPONSE-ORIGIN"), (.otherAddress, "OTHER-ADDRESS"), (.sourceAddress, "SOURCE-ADDRESS"),
      (.changedAddress, "CHANGED-ADDRESS"),
    ])
  func attributeTypes(type: AttributeType, name: String) {
    #expect(Self.entries(Self.attributes, radix: 16)[type.rawValue] == name)
  }

  @Test("Methods have their registered names and code points")
  func methodNames() {
    let registered = Self.entries(Self.methods, radix: 16)
    #expect(registered.count == 11)
    for (code, name) in registered { #expect(Names.method(code) == name) }
    let ours: [(STUN.Method, String)] = [
      (.binding, "Binding"), (.allocate, "Allocate"), (.refresh, "Refresh"), (.send, "Send"), (.data, "Data"),
      (.createPermission, "CreatePermission"), (.channelBind, "ChannelBind"), (.connect, "Connect"),
      (.connectionBind, "ConnectionBind"), (.connectionAttempt, "ConnectionAttempt"),
    ]
    for (method, name) in ours { #expect(registered[method.rawValue] == name) }
  }

  /// 401 is "Unauthenticated" in the registry since RFC 8489; browsers and tests expect RFC 5389's "Unauthorized".
  @Test("Error codes have their registered phrases, except 401's older one")
  func errorPhrases() {
    let registered = Self.entries(Self.errorCodes, radix: 10)
    #expect(registered.count == 16)
    for (code, phrase) in registered { #expect(ErrorCode(rawValue: code).reason == phrase) }
    #expect(ErrorCode.unauthenticated.rawValue == 401 && ErrorCode.unauthenticated.reason == "Unauthorized")
    for code in UInt16(300)...699 where registered[code] == nil && code != 401 {
      #expect(ErrorCode(rawValue: code).reason == "Error")
    }
  }
}
