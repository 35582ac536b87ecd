internal import Crypto
internal import NetworkTypes
internal import STUN

/// A user name and password, already prepared (SASLprep or OpaqueString, which are the same for ASCII).
///
/// With an OAuth access token (RFC 7635) the name is the kid: it identifies the key that encrypts the token.
public struct LongTermCredential: Hashable, Sendable {
  /// With an access token: its kid.
  public var username: [UInt8]
  /// With an access token: the MAC key.
  public var password: [UInt8]
  /// Sent as ACCESS-TOKEN; nil: a user name and password.
  public var accessToken: [UInt8]?

  public init(username: [UInt8], password: [UInt8]) {
    self.username = username
    self.password = password
  }

  public init(username: String, password: String) {
    self.init(username: Array(username.utf8), password: Array(password.utf8))
  }

  /// An access token with the key that requests are signed with, of 16 to 32 bytes (RFC 7635 section 4.1).
  public init(kid: [UInt8], accessToken: [UInt8], macKey: [UInt8]) {
    self.init(username: kid, password: macKey)
    self.accessToken = accessToken
  }
}

/// The values from 401 and 438 with which a client signs its requests (RFC 8489 section 9.2).
struct LongTermAuthentication {
  private(set) var realm: [UInt8] = []
  private(set) var nonce: [UInt8] = []
  private(set) var algorithm = Algorithm.implicitMD5
  private var key: Digest?
  private var userHash: Digest?
  /// The received PASSWORD-ALGORITHMS, which requests send back unchanged (against bid-down attacks).
  private var offer: [UInt8] = []

  enum Algorithm {
    /// RFC 5389: the server offered no algorithms.
    case implicitMD5
    case md5
    case sha256
  }

  /// REALM and NONCE have at most this many bytes (RFC 8489 sections 14.9 and 14.10).
  private static let textLimit = 763

  var isReady: Bool { key != nil }

  /// Takes realm, nonce and algorithms from a 401 or 438; if they cannot be used, returns the reason.
  mutating func learn(from response: borrowing MessageView, credential: LongTermCredential) -> String? {
    guard let nonceValue = response.value(of: .nonce), (1...Self.textLimit).contains(nonceValue.byteCount) else {
      return "no usable NONCE"
    }
    // 438 repeats the realm; if a server omits it, the previous realm stays valid.
    let realmValue = response.value(of: .realm)?.copied() ?? realm
    guard (1...Self.textLimit).contains(realmValue.count) else { return "no usable REALM" }
    if credential.accessToken != nil { return learnForToken(realmValue, nonceValue.copied(), credential) }
    let features = Self.securityFeatures(nonceValue)
    let offered = response.value(of: .passwordAlgorithms)?.copied()
    if features & Self.passwordAlgorithmsBit != 0, offered == nil {
      return "the nonce announces PASSWORD-ALGORITHMS, but the response has none (RFC 8489 section 9.2.5)"
    }
    algorithm = .implicitMD5
    offer = []
    if let offered, features & Self.passwordAlgorithmsBit != 0 {
      guard let chosen = Self.firstKnown(in: offered) else { return "none of the password algorithms is known" }
      algorithm = chosen
      offer = offered
    }
    realm = realmValue
    nonce = nonceValue.copied()
    take(credential, hidesName: features & Self.userHashBit != 0)
    return nil
  }

  private mutating func take(_ credential: LongTermCredential, hidesName: Bool) {
    let (username, password) = (credential.username, credential.password)
    key =
      algorithm == .sha256
      ? LongTermKey.sha256(username: username, realm: realm, password: password)
      : LongTermKey.md5(username: username, realm: realm, password: password)
    userHash = hidesName ? LongTermKey.userHash(username: username, realm: realm) : nil
  }

  /// The same realm, nonce and algorithm with another user's name and key.
  func with(_ credential: LongTermCredential) -> LongTermAuthentication {
    var other = self
    other.take(credential, hidesName: userHash != nil)
    return other
  }

  /// The key comes with the token; no password algorithm derives it (RFC 7635 section 9).
  private mutating func learnForToken(
    _ realm: [UInt8], _ nonce: [UInt8], _ credential: LongTermCredential
  ) -> String? {
    guard let key = Digest(credential.password) else { return "the token's MAC key must have 1 to 32 bytes" }
    self.realm = realm
    self.nonce = nonce
    self.key = key
    algorithm = .implicitMD5
    userHash = nil
    return nil
  }

  /// Appends the credentials and the integrity attribute; only FINGERPRINT may follow.
  func sign(
    _ writer: inout MessageWriter, credential: LongTermCredential, with authenticator: inout MessageAuthenticator
  ) {
    guard let key else { return }
    if let userHash {
      writer.append(.userHash, userHash.bytes)
    } else {
      writer.append(.username, credential.username)
    }
    writer.append(.realm, realm)
    writer.append(.nonce, nonce)
    if let token = credential.accessToken { writer.append(.accessToken, token) }
    guard algorithm != .implicitMD5 else {
      authenticator.sign(&writer, key: key)
      return
    }
    writer.append(.passwordAlgorithms, offer)
    writer.append(.passwordAlgorithm, UInt32(algorithm == .sha256 ? 2 : 1) << 16)
    authenticator.signSHA256(&writer, key: key)
  }

  /// Whether the response has a valid integrity attribute of the same kind as our requests.
  func verify(_ response: borrowing MessageView, with authenticator: inout MessageAuthenticator) -> Bool {
    guard let key else { return false }
    return algorithm == .implicitMD5
      ? authenticator.verify(response, key: key) : authenticator.verifySHA256(response, key: key)
  }

  // MARK: - The nonce cookie (RFC 8489 section 9.2)

  private static let passwordAlgorithmsBit: UInt32 = 1 << 23
  private static let userHashBit: UInt32 = 1 << 22
  private static let nonceCookie = Array("obMatJos2".utf8)

  /// The 24 feature bits after the nonce cookie, the first bit highest; 0 if the nonce has no cookie.
  private static func securityFeatures(_ nonce: RawSpan) -> UInt32 {
    guard nonce.byteCount >= 13, nonce.extracting(0..<9).isEqual(to: nonceCookie),
      let text = String(validating: nonce.extracting(9..<13).copied(), as: UTF8.self),
      let bytes = Base64.decode(text), bytes.count == 3
    else { return 0 }
    return UInt32(bytes[0]) << 16 | UInt32(bytes[1]) << 8 | UInt32(bytes[2])
  }

  /// The first supported algorithm of the list. An entry has a number, a length and padded parameters; MD5 (1) and
  /// SHA-256 (2) have no parameters (RFC 8489 section 18.5).
  private static func firstKnown(in list: [UInt8]) -> Algorithm? {
    var index = 0
    while index + 4 <= list.count {
      let number = Int(list[index]) << 8 | Int(list[index + 1])
      let length = Int(list[index + 2]) << 8 | Int(list[index + 3])
      switch (number, length) {
      case (1, 0): return .md5
      case (2, 0): return .sha256
      default: index += 4 + ((length + 3) & ~3)
      }
    }
    return nil
  }
}
