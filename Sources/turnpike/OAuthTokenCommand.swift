internal import Configuration
internal import Crypto
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN

/// `turnpike oauth-token`: an access token (RFC 7635) as an authorization server makes it, for tests.
func printAccessToken(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let year: UInt32 = 366 * 86400
  guard let ttl = UInt32(decimalDigits: invocation.arguments["--ttl"] ?? "3600"), (1...year).contains(ttl) else {
    throw .usage("--ttl takes a whole number of seconds from 1 to \(year)", hint: "write, for example, --ttl 3600")
  }
  let settings = try invocation.configuration().settings
  let key = try chooseKey(settings, named: invocation.arguments["--kid"])
  let realm = invocation.realm(settings)
  let now = Now.read().wall
  if let end = key.notAfter, end <= now { throw .failed("the key \(key.id.debugDescription) has ended (not-after)") }
  // 160 bits: the length that every server must support (RFC 7635 section 6.2).
  let macKey = SecureRandom.bytes(20)
  guard let digest = Digest(macKey),
    let token = AccessToken(macKey: digest, created: now, lifetime: .seconds(ttl)).sealed(
      key: AccessTokenKey(id: Array(key.id.utf8), key: key.key), serverName: Array(realm.utf8),
      nonce: SecureRandom.bytes(AEAD.nonceByteCount))
  else { throw .failed("the key \(key.id.debugDescription) does not fit its algorithm") }
  let document: JSONValue = [
    "kid": .string(key.id), "access_token": .string(Base64.encode(token)), "mac_key": .string(Base64.encode(macKey)),
    "lifetime": .integer(Int64(ttl)), "server_name": .string(realm),
  ]
  try print(document.encode())
  return 0
}

private func chooseKey(_ settings: Settings, named id: String?) throws(Failure) -> Settings.OAuthKey {
  let keys = settings.auth.oauthKeys
  let hint = "add one to auth.oauth-keys: { id, key, algorithm }"
  guard let id else {
    guard let key = keys.first else { throw .failed("there is no key of an authorization server; \(hint)") }
    return key
  }
  guard let key = keys.first(where: { $0.id == id }) else {
    throw .failed("auth.oauth-keys has no key \(id.debugDescription)")
  }
  return key
}
