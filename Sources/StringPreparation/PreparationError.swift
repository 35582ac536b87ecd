/// The reason why a name or password cannot be prepared.
public enum PreparationError: Error, Equatable, Sendable {
  case notUTF8
  case empty
  /// More than ``PreparationError/longest`` bytes.
  case tooLong
  /// A forbidden character, with its code point.
  case forbidden(UInt32)
  /// A forbidden character; libidn does not tell which.
  case forbiddenCharacter
  /// Right-to-left and left-to-right letters in one text (RFC 3454 section 6).
  case mixedDirections
  /// The library had no memory.
  case unavailable

  /// Limit of bytes; no text in a STUN attribute is longer (RFC 8489 section 14).
  public static let longest = 2048
}

extension PreparationError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notUTF8: "it is not UTF-8"
    case .empty: "it is empty"
    case .tooLong: "it has more than \(Self.longest) bytes"
    case .forbidden(let scalar): "it has the forbidden character U+\(String(scalar, radix: 16, uppercase: true))"
    case .forbiddenCharacter: "it has a forbidden character"
    case .mixedDirections: "it mixes right-to-left with left-to-right letters"
    case .unavailable: "out of memory"
    }
  }
}

/// Whether the bytes are printable ASCII, the space included, which both profiles leave unchanged.
func isPrintableASCII(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy { (0x20...0x7E).contains($0) } }
