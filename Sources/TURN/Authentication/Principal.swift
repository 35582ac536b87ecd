internal import Crypto
internal import NetworkTypes

/// The authenticated sender of a request.
struct Principal {
  /// The realm of the name.
  var realm = RealmID.default
  /// The whole name, which identifies the owner of an allocation (441).
  var username: [UInt8]
  /// The name that quotas count: for a time-limited name the part after the first colon.
  var quotaName: [UInt8]
  /// All keys of the credential; nil for anonymous access.
  var keys: CredentialKeys?
  /// The key that verified the request and signs its answer.
  var key: Digest?
  /// Whether the answer has MESSAGE-INTEGRITY-SHA256 instead of MESSAGE-INTEGRITY.
  var usesSHA256 = false
  /// The time until the access token expires, which limits every lifetime (RFC 7635 section 9). Nil for other
  /// credentials.
  var credentialTimeLeft: Duration?
  /// The expiry of a time-limited name; nil for other credentials.
  var nameExpiry: UnixTime?

  static let anonymous = Principal(username: [], quotaName: [], keys: nil, key: nil)

  /// The user that may use a reservation of EVEN-PORT, independent of the time in the name. For access tokens any
  /// client may, because two tokens do not show that they belong to one client.
  var reservationHolder: [UInt8] { credentialTimeLeft == nil ? quotaName : [] }

  /// The user and address that an allocation counts for.
  func holder(at client: ClientPath) -> QuotaHolder {
    QuotaHolder(realm: realm, user: quotaName, address: client.address.address)
  }
}

/// The claimed credentials of a request, before the user is looked up.
struct Claim {
  var user: UserReference
  var nonce: NonceAuthority.State
  var choice: KeyChoice

  var isFresh: Bool { if case .fresh = nonce { true } else { false } }

  /// The claimed name; nil if there is only its hash.
  var name: [UInt8]? { if case .name(let name) = user { name } else { nil } }
}

/// The result of identifying the sender of a request.
enum Identification {
  case known(Principal)
  /// 401, with the reason for the log.
  case refused(AuthenticationFailure.Reason, UserReference)
  /// The store may have the name.
  case inStore
}

extension CredentialKeys {
  /// Keys that no user has: no known name and password have a hash of zero.
  static let ofNoUser = CredentialKeys(
    md5: Digest([UInt8](repeating: 0, count: 16)).map { [$0] } ?? [],
    sha256: Digest([UInt8](repeating: 0, count: 32)))
}
