internal import System
internal import Configuration
internal import Credentials
internal import Crypto
internal import NetworkTypes
internal import TurnpikeServer

/// `turnpike credentials`: iceServers JSON with a time-limited credential.
func printCredentials(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let user = invocation.arguments["--user"]
  if let user,
    user.utf8.count > 400 || user.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
  {
    throw .usage("--user is longer than 400 bytes or has control characters", hint: "write a short id")
  }
  let year: UInt64 = 366 * 86400
  guard let ttl = UInt64(decimalDigits: invocation.arguments["--ttl"] ?? "86400"), (1...year).contains(ttl) else {
    throw .usage("--ttl takes a whole number of seconds from 1 to \(year)", hint: "write, for example, --ttl 3600")
  }
  let settings = try invocation.configuration().settings
  let secret = try firstSecret(settings, invocation)
  let expiry = Now.read().wall.advanced(by: .seconds(ttl))
  let username = user.map { "\(expiry):\($0)" } ?? "\(expiry)"
  let password = TimeLimitedCredential.password(username: Array(username.utf8), secret: secret)
  let names = HostNames(settings)
  // If the server has a name, no URL contains an address.
  let reachable = names.everywhere == nil ? AdvertisedAddresses.find(settings) : (addresses: [], problems: [])
  if !reachable.problems.isEmpty {
    tell("the public address is not found (\(reachable.problems.joined(separator: "; "))): set relay.advertise")
  }
  let urls = IceServers.urls(
    listeners: settings.listeners ?? Settings.availableDefaultListeners, reachableAddresses: reachable.addresses,
    names: names)
  try print(IceServers(urls: urls, username: username, credential: String(decoding: password, as: UTF8.self)).json)
  return 0
}

private func firstSecret(_ settings: Settings, _ invocation: Invocation) throws(Failure) -> [UInt8] {
  let realm = invocation.realm(settings)
  if realm == settings.realm, let secret = settings.auth.secrets.first { return Array(secret.utf8) }
  if let secret = settings.realms[realm]?.secrets.first { return Array(secret.utf8) }
  let hint = "add one to auth.secrets, or run: turnpike secret add"
  guard !settings.auth.store.isEmpty else { throw .failed("there is no shared secret; \(hint)") }
  let secrets = try invocation.withStore(settings) { store throws(StoreError) in try store.secrets(realm: realm) }
  guard let secret = secrets.first else { throw .failed("there is no shared secret; \(hint)") }
  return secret
}
