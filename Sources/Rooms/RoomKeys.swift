internal import Crypto
internal import NetworkTypes

/// The keys of rooms: a room link carries the name of a room and its key, which cannot be guessed.
///
/// A key is the truncated HMAC-SHA256 of the room's name with a secret of this start of the server, so the server keeps
/// nothing for a room that is empty, and no link outlives the server.
public struct RoomKeys: Sendable {
  private let secret: [UInt8]

  /// - Parameter secret: 32 random bytes.
  public init(secret: [UInt8]) { self.secret = secret }

  /// Characters of a key: 144 bits as Base64 for URLs (RFC 4648 section 5).
  public static let length = 24
  /// Limit of the characters of a room's name.
  public static let longestName = 40

  /// Whether a text can name a room: letters, digits, hyphens and underscores, which need no quoting in a link.
  public static func isName(_ name: String) -> Bool {
    let bytes = name.utf8
    guard (1...longestName).contains(bytes.count) else { return false }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
  }

  /// The key of a room.
  public func key(of room: String) -> String {
    var context = HMACContext(.sha256)
    let digest = context.authenticate(Array("room \(room)".utf8).span.rawBytes, key: secret.span.rawBytes)
    return String(
      Base64.encode(Array(digest.array.prefix(18))).map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
  }

  /// Whether a text is the key of a room; compares in constant time.
  public func isKey(_ key: String, of room: String) -> Bool {
    guard Self.isName(room) else { return false }
    return constantTimeEqual(Array(key.utf8).span.rawBytes, Array(self.key(of: room).utf8).span.rawBytes)
  }

  /// The room of `Authorization: Room NAME.KEY`; nil if the key is not the room's.
  public func room(ofAuthorization text: String) -> String? {
    guard text.lowercased().hasPrefix("room ") else { return nil }
    let parts = text.dropFirst(5).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, isKey(String(parts[1]), of: String(parts[0])) else { return nil }
    return String(parts[0])
  }
}
