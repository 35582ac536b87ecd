internal import NetworkTypes

/// CHANGE-REQUEST: the server's address and port that should send the answer (RFC 5780 section 7.2).
public struct ChangeRequest: Equatable, Sendable {
  /// Whether the answer should come from the other IP address.
  public var changesAddress = false
  /// Whether the answer should come from the other port.
  public var changesPort = false

  /// Requests no change.
  public init() {}

  public init(bits: UInt32) {
    changesAddress = bits & 0x04 != 0
    changesPort = bits & 0x02 != 0
  }

  /// The value of the attribute.
  public var bits: UInt32 { (changesAddress ? 0x04 : 0) | (changesPort ? 0x02 : 0) }
  public var isAny: Bool { changesAddress || changesPort }
}

extension MessageView {
  /// Whether an attribute of RFC 5780 requests something. CHANGE-REQUEST without flags and empty PADDING request
  /// nothing: many old clients send the first in every Binding request. An attribute of a wrong length counts as a
  /// request.
  public func asks(for attribute: AttributeType) -> Bool {
    guard let value = value(of: attribute) else { return false }
    switch attribute {
    case .changeRequest: return value.byteCount != 4 || ChangeRequest(bits: value.bigEndian32(at: 0)).isAny
    case .padding: return value.byteCount > 0
    default: return true
    }
  }

  /// CHANGE-REQUEST; nil if there is none.
  public func changeRequest() throws(DecodingError) -> ChangeRequest? {
    try word(.changeRequest).map { ChangeRequest(bits: $0) }
  }

  /// RESPONSE-PORT (RFC 5780 section 7.5); nil if there is none.
  public func responsePort() throws(DecodingError) -> UInt16? {
    try word(.responsePort).map { UInt16(truncatingIfNeeded: $0 >> 16) }
  }
}
