internal import NetworkTypes

/// The algorithm that derives a long-term key from a password (RFC 8489 section 18.5). Neither algorithm has
/// parameters.
public enum PasswordAlgorithm: UInt16, Hashable, Sendable, CaseIterable {
  case md5 = 0x0001
  case sha256 = 0x0002
}

extension PasswordAlgorithm {
  /// The value of PASSWORD-ALGORITHMS for a list, most preferred first: each algorithm's number and the length of its
  /// parameters, which is 0 (RFC 8489 section 14.11).
  public static func list(_ algorithms: [PasswordAlgorithm]) -> [UInt8] {
    algorithms.flatMap { [UInt8(truncatingIfNeeded: $0.rawValue >> 8), UInt8(truncatingIfNeeded: $0.rawValue), 0, 0] }
  }
}

extension MessageView {
  /// PASSWORD-ALGORITHM's number; nil if there is none. Known algorithms have no parameters, and an attribute with
  /// parameters is malformed (RFC 8489 section 14.12).
  public func passwordAlgorithm() throws(DecodingError) -> UInt16? {
    guard let value = value(of: .passwordAlgorithm) else { return nil }
    guard value.byteCount >= 4, value.byteCount - 4 == (Int(value.bigEndian16(at: 2)) + 3) & ~3 else {
      throw .malformedAttribute
    }
    if PasswordAlgorithm(rawValue: value.bigEndian16(at: 0)) != nil, value.byteCount != 4 { throw .malformedAttribute }
    return value.bigEndian16(at: 0)
  }
}

/// The STUN security features that a server announces in its nonces, where an attacker cannot remove them (RFC 8489
/// sections 9.2.1 and 18.1).
public struct SecurityFeatures: OptionSet, Sendable {
  /// 24 bits; bit 0 of the RFC is the most significant of them.
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue & 0xFF_FFFF }

  public static let passwordAlgorithms = SecurityFeatures(rawValue: 1 << 23)
  public static let usernameAnonymity = SecurityFeatures(rawValue: 1 << 22)

  /// The three bytes that the nonce cookie has in Base64.
  public var bytes: [UInt8] {
    [UInt8(rawValue >> 16), UInt8(truncatingIfNeeded: rawValue >> 8), UInt8(truncatingIfNeeded: rawValue)]
  }
}
