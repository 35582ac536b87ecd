public import Crypto
internal import JSON
public import NetworkTypes

/// The document of an authentication hook: `{"password": …}` or `{"key": …, "key-sha256": …}`, `ttl` in seconds,
/// `allocations`, which limits the user's allocations at one time, and `bandwidth` of the user in bytes a second.
public struct HookAnswer: Sendable {
  /// The time for which an answer without `ttl` is kept, and the limit of `ttl`.
  public static let defaultLifetime = Duration.seconds(60)
  public static let longestLifetime = Duration.seconds(3600)

  /// The reason why a document is refused.
  public struct Problem: Error, Equatable {
    public var text: String
  }

  /// MD5 keys of the user, of 16 bytes each; never empty.
  public let md5: [Digest]
  /// The SHA-256 key of 32 bytes; nil if the hook gave only an MD5 key.
  public let sha256: Digest?
  /// The time for which the answer is kept: from a second to `longestLifetime`.
  public let lifetime: Duration
  /// The limit of the user's allocations at one time, at least 1; nil: the configuration's limit.
  public let allocations: UInt32?
  /// The user's bandwidth in each direction, never unlimited; nil: the configuration's limit.
  public let bandwidth: ByteRate?

  /// Reads the document that a hook gave for a user of a realm.
  public init(_ document: [UInt8], user: [UInt8], realm: String) throws(Problem) {
    guard let document = try? JSONValue.decode(document), case .object = document else {
      throw Problem(text: "the hook's answer is not a JSON object")
    }
    lifetime = min(try Self.number(document, "ttl").map { .seconds($0) } ?? Self.defaultLifetime, Self.longestLifetime)
    allocations = try Self.number(document, "allocations")
    bandwidth = try Self.number(document, "bandwidth").map { .bytesPerSecond(UInt64($0)) }
    if let password = document["password"]?.string {
      let keys = try Self.keys(password: password, user: user, realm: realm)
      md5 = [keys.md5] + (keys.md5OpaqueString.map { [$0] } ?? [])
      sha256 = keys.sha256
      return
    }
    guard let key = document["key"]?.string.flatMap({ Self.digest($0, count: 16) }) else {
      throw Problem(text: "the hook's answer has neither password nor key (32 hexadecimal digits)")
    }
    md5 = [key]
    sha256 = document["key-sha256"]?.string.flatMap { Self.digest($0, count: 32) }
  }

  private static func keys(password: String, user: [UInt8], realm: String) throws(Problem) -> UserKeys {
    do throws(UserRecord.Invalid) {
      let name = String(decoding: user, as: UTF8.self)
      return try UserRecord(name: name, realm: realm, password: Array(password.utf8)).keys
    } catch {
      throw Problem(text: "the password in the hook's answer is not usable: \(error)")
    }
  }

  /// A member that is a whole number above 0, clamped to 32 bits; nil without the member.
  private static func number(_ document: JSONValue, _ name: String) throws(Problem) -> UInt32? {
    guard let value = document[name] else { return nil }
    guard let number = value.integer, number >= 1 else {
      throw Problem(text: "\(name) in the hook's answer is not a whole number above 0")
    }
    return UInt32(clamping: number)
  }

  /// The digest in hexadecimal digits; nil unless it has exactly `count` bytes.
  private static func digest(_ text: String, count: Int) -> Digest? {
    guard let bytes = Hexadecimal.bytes(text.utf8), bytes.count == count else { return nil }
    return Digest(bytes)
  }
}
