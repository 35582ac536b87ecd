internal import Crypto
internal import JSON
internal import NetIO
internal import NetworkTypes
public import TLS
public import TURNClient
internal import Text

/// Where a program takes its user's credentials from: options, files and the environment, so that no password has to
/// stand on a command line.
public struct CredentialSource: Sendable {
  /// What the environment's variables begin with: `STUNCLIENT`.
  public var prefix: String
  public var username: String?
  public var passwordFile: String?
  public var secretFile: String?
  public var tokenFile: String?
  /// How long a credential made from a secret is good for, in seconds.
  public var lifetime: UInt64

  public init(prefix: String, lifetime: UInt64) {
    self.prefix = prefix
    self.lifetime = lifetime
  }

  /// A credential, and the secret that it was made from, if it was.
  public struct Credential: Sendable {
    public var credential: LongTermCredential
    public var secret: [UInt8]?
  }

  /// Whom a credential that is made from a secret is for.
  public var effectiveName: String { readUsername() ?? prefix.lowercased() }

  /// The user name; nil where none is given.
  public func readUsername() -> String? {
    username ?? Environment.variables()[prefix + "_USERNAME"].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// What fits together and what does not, as far as the command line tells.
  public func check() throws(UsageError) {
    let given = [("--password-file", passwordFile), ("--secret-file", secretFile), ("--oauth-token-file", tokenFile)]
      .filter { $0.1 != nil }
    if given.count > 1 { throw UsageError("\(given.map(\.0).joined(separator: " and ")): one of them") }
    if tokenFile != nil, username != nil { throw UsageError("--username: the token's kid takes its place") }
  }

  /// The credential; nil where there is none.
  public func read() throws(UsageError) -> Credential? {
    if let tokenFile { return Credential(credential: try Self.token(tokenFile)) }
    let username = readUsername()
    let (password, secret) = try readPasswordOrSecret()
    if let secret {
      return Credential(credential: Self.timeLimited(effectiveName, secret, lifetime: lifetime), secret: secret)
    }
    guard let username else {
      if password != nil { throw UsageError("a password without --username") }
      return nil
    }
    guard let password else { throw UsageError("--username without --password-file or --secret-file") }
    return Credential(credential: try Self.prepared(Array(username.utf8), password))
  }

  /// The shared secret alone, for programs that make credentials from it.
  public func readSharedSecret() throws(UsageError) -> [UInt8]? {
    if let secretFile { return try Self.readSecret(secretFile) }
    return Environment.variables()[prefix + "_SECRET"].flatMap { $0.isEmpty ? nil : Array($0.utf8) }
  }

  /// At the most one of the two, as it was given: an option goes before both variables of the environment.
  private func readPasswordOrSecret() throws(UsageError) -> (password: [UInt8]?, secret: [UInt8]?) {
    if let passwordFile { return (try Self.readSecret(passwordFile), nil) }
    if let secretFile { return (nil, try Self.readSecret(secretFile)) }
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let password = environment[prefix + "_PASSWORD"].map { Array($0.utf8) }
    let secret = environment[prefix + "_SECRET"].map { Array($0.utf8) }
    if password != nil, secret != nil {
      throw UsageError("\(prefix)_PASSWORD and \(prefix)_SECRET are both set: one of them")
    }
    return (password, secret)
  }

  /// What recorded messages may be signed with: the password in each form that clients make keys from (SASLprep of RFC
  /// 5389, OpaqueString of RFC 8489, or as it is), or the secret of time-limited credentials.
  public func readForVerification() throws(UsageError) -> (passwords: [[UInt8]], secret: [UInt8]?) {
    let (password, secret) = try readPasswordOrSecret()
    guard let password else { return ([], secret) }
    var forms: [[UInt8]] = []
    for form in [try? SASLprep.prepare(password), try? OpaqueString.prepare(password), password] {
      if let form, !forms.contains(form) { forms.append(form) }
    }
    return (forms, nil)
  }

  // MARK: - The kinds

  /// A credential that ends after `lifetime` seconds (draft-uberti-behave-turn-rest-00). Without a name the expiry
  /// alone is the user name.
  public static func timeLimited(_ name: String?, _ secret: [UInt8], lifetime: UInt64) -> LongTermCredential {
    let expiry = Now.read().wallSeconds &+ lifetime
    let username = Array((name.map { "\(expiry):\($0)" } ?? "\(expiry)").utf8)
    return LongTermCredential(
      username: username, password: TimeLimitedCredential.password(username: username, secret: secret))
  }

  /// Name and password as servers of today derive their keys: SASLprep (RFC 5389 section 15.3); ASCII stays as it is.
  public static func prepared(_ username: [UInt8], _ password: [UInt8]) throws(UsageError) -> LongTermCredential {
    guard (1...508).contains(username.count) else { throw UsageError("a user name has 1 to 508 bytes") }
    return LongTermCredential(
      username: try prepare(username, "the user name"), password: try prepare(password, "the password"))
  }

  private static func prepare(_ bytes: [UInt8], _ what: String) throws(UsageError) -> [UInt8] {
    do { return try SASLprep.prepare(bytes) } catch { throw UsageError("\(what): \(error)") }
  }

  /// An OAuth access token (RFC 7635), as `turnpike oauth-token` prints it.
  private static func token(_ path: String) throws(UsageError) -> LongTermCredential {
    let document: JSONValue
    do { document = try JSONValue.decode(try readSecret(path)) } catch let error as JSONError {
      throw UsageError("\(path): \(error)")
    } catch let error as UsageError {
      throw error
    } catch {
      throw UsageError("\(path): \(error)")
    }
    guard let kid = document["kid"]?.string, let token = document["access_token"]?.string,
      let key = document["mac_key"]?.string
    else { throw UsageError("\(path): a token has \"kid\", \"access_token\" and \"mac_key\"") }
    return try self.token(kid: kid, accessToken: token, key: key, path)
  }

  /// A token whose parts are Base64.
  public static func token(
    kid: String, accessToken: String, key: String, _ place: String
  ) throws(UsageError) -> LongTermCredential {
    guard let token = Base64.decode(accessToken), !token.isEmpty else {
      throw UsageError("\(place): the access token is no Base64")
    }
    guard let macKey = Base64.decode(key), (16...32).contains(macKey.count) else {
      throw UsageError("\(place): the MAC key is no Base64 of 16 to 32 bytes")
    }
    guard (1...508).contains(kid.utf8.count) else { throw UsageError("\(place): a kid has 1 to 508 bytes") }
    return LongTermCredential(kid: Array(kid.utf8), accessToken: token, macKey: macKey)
  }

  /// A password or secret from a file.
  public static func readSecret(_ path: String) throws(UsageError) -> [UInt8] {
    let content: [UInt8]
    do { content = try Files.readSecret(path) } catch { throw UsageError("\(path): \(error)") }
    guard !content.isEmpty else { throw UsageError("\(path): is empty") }
    return content
  }
}

/// Whom TLS trusts, as the command line says.
public struct TrustSource: Sendable {
  public var authorities: String?
  public var isInsecure = false

  public init() {}

  public func check() throws(UsageError) {
    if authorities != nil, isInsecure { throw UsageError("--ca and --insecure contradict each other") }
  }

  public func context(isDatagram: Bool = false) throws(UsageError) -> TLSContext {
    var verification = TLSContext.Verification.system
    if let authorities { verification = .authorities(.path(authorities)) }
    if isInsecure { verification = .none }
    do { return try TLSContext(client: verification, isDatagram: isDatagram) } catch { throw UsageError("\(error)") }
  }
}
