internal import Crypto
internal import NetworkTypes
internal import STUN

/// The offer in a challenge: the password algorithms, and the nonce cookie that protects them (RFC 8489 section 9.2).
struct PasswordOffer {
  let algorithms: [PasswordAlgorithm]
  /// The value of PASSWORD-ALGORITHMS.
  let list: [UInt8]
  /// The 13 characters that every nonce begins with: `obMatJos2` and the feature bits in Base64.
  let cookie: [UInt8]

  static let cookiePrefix = Array("obMatJos2".utf8)
  static let cookieByteCount = 13

  init(_ settings: RelaySettings, _ realm: RealmSettings) {
    var chosen = settings.policy.passwordAlgorithms.isEmpty ? [.md5] : settings.policy.passwordAlgorithms
    if realm.hasUsersWithoutSHA256, chosen.contains(.md5) { chosen = [.md5] }
    // Clients use the first algorithm that they support (RFC 8489 section 9.2.5), and MD5 is for clients without any
    // other (section 18.5.1.1).
    algorithms = chosen.filter { $0 != .md5 } + chosen.filter { $0 == .md5 }
    list = PasswordAlgorithm.list(algorithms)
    var features: SecurityFeatures = [.passwordAlgorithms]
    // A client that sees this bit must send USERHASH, and neither a time-limited name nor a key of an authorization
    // server can be found by its hash. A hook needs the name too.
    if realm.secrets.isEmpty, settings.accessTokenKeys.isEmpty, !realm.hasHook { features.insert(.usernameAnonymity) }
    cookie = Self.cookiePrefix + Array(Base64.encode(features.bytes).utf8)
  }

  /// Whether a nonce claims to come with PASSWORD-ALGORITHMS.
  static func promisesAlgorithms(_ nonce: RawSpan) -> Bool {
    guard nonce.byteCount >= cookieByteCount, nonce.extracting(0..<9).isEqual(to: cookiePrefix),
      let features = Base64.decode(String(decoding: nonce.extracting(9..<13).copied(), as: UTF8.self)),
      features.count == 3
    else { return false }
    return features[0] & 0x80 != 0
  }
}

/// The key that a request claims to be signed with.
enum KeyChoice {
  /// No PASSWORD-ALGORITHM, as in RFC 5389: MD5, and the answer has MESSAGE-INTEGRITY.
  case implicitMD5
  /// Chosen with PASSWORD-ALGORITHM: the answer has MESSAGE-INTEGRITY-SHA256.
  case chosen(PasswordAlgorithm)

  var algorithm: PasswordAlgorithm {
    switch self {
    case .implicitMD5: .md5
    case .chosen(let algorithm): algorithm
    }
  }

  var isImplicit: Bool {
    if case .implicitMD5 = self { true } else { false }
  }
}
