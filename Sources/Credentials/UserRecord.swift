public import Crypto
public import StringPreparation

/// The keys of one user in one realm (RFC 8489 section 9.2.2). Stores keep them instead of the password.
public struct UserKeys: Equatable, Sendable {
  /// MD5 key over the SASLprep forms (RFC 5389); 16 bytes.
  public var md5: Digest
  /// MD5 key over the OpaqueString forms (RFC 8489), only if it differs from `md5`.
  public var md5OpaqueString: Digest?
  /// SHA-256 key over the OpaqueString forms; 32 bytes. Nil for users from other programs that keep MD5 keys only.
  public var sha256: Digest?
  /// USERHASH (RFC 8489 section 14.4); 32 bytes.
  public var userHash: Digest

  public init(md5: Digest, md5OpaqueString: Digest?, sha256: Digest?, userHash: Digest) {
    self.md5 = md5
    self.md5OpaqueString = md5OpaqueString
    self.sha256 = sha256
    self.userHash = userHash
  }
}

/// A text in the two forms that clients use: RFC 5389's and RFC 8489's. For printable ASCII both forms are the same.
public struct PreparedText: Equatable, Sendable {
  /// The SASLprep form (RFC 5389).
  public let saslprep: [UInt8]
  /// The OpaqueString form (RFC 8489).
  public let opaqueString: [UInt8]

  /// If only one profile accepts the text, its form serves for both. Throws if neither does.
  public init(_ bytes: [UInt8]) throws(PreparationError) {
    let opaqueString: [UInt8]?
    var reason = PreparationError.unavailable
    do throws(PreparationError) {
      opaqueString = try OpaqueString.prepare(bytes)
    } catch {
      opaqueString = nil
      reason = error
    }
    do throws(PreparationError) {
      saslprep = try SASLprep.prepare(bytes)
    } catch {
      guard let opaqueString else { throw reason }
      saslprep = opaqueString
    }
    self.opaqueString = opaqueString ?? saslprep
  }
}

/// A user of a realm, ready to be stored or looked up: the forms of the name, and the keys, without the password.
public struct UserRecord: Equatable, Sendable {
  public let name: PreparedText
  public let realm: String
  public let keys: UserKeys

  /// The reason why a credential is invalid.
  public enum Invalid: Error, Equatable, Sendable {
    case name(PreparationError)
    case realm(PreparationError)
    case password(PreparationError)
    /// More than 508 bytes (RFC 8489 section 14.3).
    case nameTooLong
  }

  /// Derives all keys from name, realm and password as typed.
  public init(name: String, realm: String, password: [UInt8]) throws(Invalid) {
    self.name = try Self.prepare(Array(name.utf8), Invalid.name)
    self.realm = realm
    guard self.name.opaqueString.count <= 508, self.name.saslprep.count <= 508 else { throw .nameTooLong }
    let realm = try Self.prepare(Array(realm.utf8), Invalid.realm)
    let password = try Self.prepare(password, Invalid.password)
    let md5 = LongTermKey.md5(username: self.name.saslprep, realm: realm.saslprep, password: password.saslprep)
    let opaque = LongTermKey.md5(
      username: self.name.opaqueString, realm: realm.opaqueString, password: password.opaqueString)
    keys = UserKeys(
      md5: md5, md5OpaqueString: md5 == opaque ? nil : opaque,
      sha256: LongTermKey.sha256(
        username: self.name.opaqueString, realm: realm.opaqueString, password: password.opaqueString),
      userHash: LongTermKey.userHash(username: self.name.opaqueString, realm: realm.opaqueString))
  }

  /// A user of another program that keeps only the MD5 key (RFC 5389 section 15.4), without the password.
  public init(name: String, realm: String, md5: Digest) throws(Invalid) {
    self.name = try Self.prepare(Array(name.utf8), Invalid.name)
    self.realm = realm
    guard self.name.opaqueString.count <= 508, self.name.saslprep.count <= 508 else { throw .nameTooLong }
    let realm = try Self.prepare(Array(realm.utf8), Invalid.realm)
    keys = UserKeys(
      md5: md5, md5OpaqueString: nil, sha256: nil,
      userHash: LongTermKey.userHash(username: self.name.opaqueString, realm: realm.opaqueString))
  }

  private static func prepare(
    _ bytes: [UInt8], _ invalid: (PreparationError) -> Invalid
  ) throws(Invalid) -> PreparedText {
    do throws(PreparationError) {
      return try PreparedText(bytes)
    } catch {
      throw invalid(error)
    }
  }
}

extension UserRecord.Invalid: CustomStringConvertible {
  /// The text never contains the password.
  public var description: String {
    switch self {
    case .name(let reason): "the user name can't be used: \(reason)"
    case .realm(let reason): "the realm can't be used: \(reason)"
    case .password(let reason): "the password can't be used: \(reason)"
    case .nameTooLong: "the user name has more than 508 bytes"
    }
  }
}
