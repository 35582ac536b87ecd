internal import NetworkTypes

/// CHANGE-REQUEST: from which of the server's addresses and ports an answer shall come (RFC 5780 section 7.2).
public struct ChangeRequest: Equatable, Sendable {
  public var changesAddress = false
  public var changesPort = false

  /// Asks for nothing.
  public init() {}

  public init(bits: UInt32) {
    changesAddress = bits & 0x04 != 0
    changesPort = bits & 0x02 != 0
  }

  public var bits: UInt32 { (changesAddress ? 0x04 : 0) | (changesPort ? 0x02 : 0) }
  public var isAny: Bool { changesAddress || changesPort }
}

extension MessageView {
  /// CHANGE-REQUEST; nil where there is none.
  public func changeRequest() throws(DecodingError) -> ChangeRequest? {
    try word(.changeRequest).map { ChangeRequest(bits: $0) }
  }

  /// RESPONSE-PORT (RFC 5780 section 7.5); nil where there is none.
  public func responsePort() throws(DecodingError) -> UInt16? {
    try word(.responsePort).map { UInt16(truncatingIfNeeded: $0 >> 16) }
  }
}
