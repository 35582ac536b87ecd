internal import Crypto

/// A user to be stored, as `turnpike user` and the admin API make it from a name and a password.
public struct NewUser: Sendable {
  public let record: UserRecord
  /// The generated password, to be shown once after it is stored; nil if the caller gave a password.
  public let madePassword: String?

  /// - Parameter password: as typed; nil: a random password is generated.
  public init(name: String, realm: String, password: [UInt8]?) throws(UserRecord.Invalid) {
    // 131 bits, in letters and digits that can be typed and pasted anywhere.
    madePassword = password == nil ? RandomWord.make(22) : nil
    record = try UserRecord(
      name: name, realm: realm, password: password ?? Array((madePassword ?? "").utf8))
  }
}

/// A shared secret to be stored.
public struct NewSecret: Sendable {
  public let bytes: [UInt8]
  /// The generated secret, to be shown once after it is stored; nil if the caller gave a secret.
  public let made: String?

  /// The reason why a secret is invalid.
  public enum Invalid: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooLong
    case hasLineBreak

    /// The text never contains the secret.
    public var description: String {
      switch self {
      case .empty: "the secret is empty"
      case .tooLong: "the secret has more than 1024 bytes"
      case .hasLineBreak: "the secret has more than one line"
      }
    }
  }

  /// - Parameter secret: up to 1,024 bytes on one line; nil: a random secret is generated.
  public init(_ secret: [UInt8]?) throws(Invalid) {
    guard let secret else {
      // 256 bits: more than the 160 bits of HMAC-SHA1.
      let word = RandomWord.make(43)
      made = word
      bytes = Array(word.utf8)
      return
    }
    guard !secret.isEmpty else { throw .empty }
    guard secret.count <= 1024 else { throw .tooLong }
    guard !secret.contains(UInt8(ascii: "\n")) else { throw .hasLineBreak }
    made = nil
    bytes = secret
  }
}

enum RandomWord {
  /// Random letters and digits: Base64 without its two punctuation characters, almost six bits each.
  static func make(_ length: Int) -> String {
    var word = ""
    while word.utf8.count < length {
      let letters = Base64.encode(SecureRandom.bytes(3 * length)).utf8.filter { byte in
        byte != UInt8(ascii: "+") && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "=")
      }
      word += String(decoding: letters.prefix(length - word.utf8.count), as: UTF8.self)
    }
    return word
  }
}

/// Messages for operators, with a remedy.
extension StoreError {
  /// The message for the refusal of a user; nil: the error's own message.
  public func explained(user name: String, realm: String) -> String? {
    switch self {
    case .userExists:
      "the realm \(realm.debugDescription) has a user \(name.debugDescription) already (or one that clients cannot distinguish from it); "
        + "to change the password: turnpike user passwd \(name)"
    case .noSuchUser:
      "the realm \(realm.debugDescription) has no user \(name.debugDescription); see: turnpike user list"
    case .unavailable, .newerFormat, .foreign, .secretExists, .noSuchSecret: nil
    }
  }

  /// The message for the refusal of a secret; nil: the error's own message.
  ///
  /// - Parameter id: the secret's number; nil for a new secret.
  public func explained(secret id: UInt64?, realm: String) -> String? {
    switch self {
    case .secretExists: "the realm \(realm.debugDescription) has this secret already; see: turnpike secret list"
    case .noSuchSecret:
      "the realm \(realm.debugDescription) has no secret\(id.map { " \($0)" } ?? ""); see: turnpike secret list"
    case .unavailable, .newerFormat, .foreign, .userExists, .noSuchUser: nil
    }
  }
}
