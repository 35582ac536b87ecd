public import CommandLine
internal import Crypto
internal import JSON
internal import NetworkTypes
internal import StringPreparation
internal import System
public import TLS
public import TURNClient

/// The sources of the user's credentials: options, files and the environment. No option takes a password itself,
/// because other users can read command lines.
public struct CredentialSource: Sendable {
  /// The prefix of the environment variables: `STUNCLIENT`.
  public var prefix: String
  public var username: String?
  public var passwordFile: String?
  public var secretFile: String?
  public var tokenFile: String?
  /// How long a credential made from a secret is valid.
  public var lifetime: Duration

  public init(prefix: String, lifetime: Duration) {
    self.prefix = prefix
    self.lifetime = lifetime
  }

  /// A credential, and the secret that it was made from; nil if it was given.
  public struct Credential: Sendable {
    public var credential: LongTermCredential
    /// The shared secret; nil if the credential was given.
    public var secret: [UInt8]?
    /// A detail that is easily overlooked: "the password ends with a space"; nil if there is none.
    public var oddity: String?
  }

  /// A detail of a password or secret (`what`) that is easily overlooked.
  public static func oddity(_ what: String, _ bytes: [UInt8]) -> String? {
    DeceptiveEdges.describe(String(decoding: bytes, as: UTF8.self)).map { "\(what) \($0)" }
  }

  /// The user name in a credential made from a secret.
  public var effectiveName: String { readUsername() ?? prefix.lowercased() }

  /// The user name; nil if none is given.
  public func readUsername() -> String? {
    username ?? Environment.variables()[prefix + "_USERNAME"].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Refuses options that contradict each other.
  public func check() throws(UsageError) {
    let given = [("--password-file", passwordFile), ("--secret-file", secretFile), ("--oauth-token-file", tokenFile)]
      .filter { $0.1 != nil }
    if given.count > 1 { throw UsageError("\(given.map(\.0).joined(separator: " and ")): give only one") }
    if tokenFile != nil, username != nil { throw UsageError("--username: with a token the user name is its kid") }
  }

  /// The credential; nil if none is given.
  public func read() throws(UsageError) -> Credential? {
    if let tokenFile { return Credential(credential: try Self.token(tokenFile)) }
    let username = readUsername()
    let (password, secret) = try readPasswordOrSecret()
    if let secret {
      return Credential(
        credential: Self.timeLimited(effectiveName, secret, lifetime: lifetime), secret: secret,
        oddity: Self.oddity("the shared secret", secret))
    }
    guard let username else {
      guard password != nil else { return nil }
      let source = passwordFile == nil ? "\(prefix)_PASSWORD" : "--password-file"
      throw UsageError(
        "a password was given (\(source)) but no user name: set \(prefix)_USERNAME or use --username")
    }
    if let password = password ?? Self.ask("Password of \(username)") {
      return Credential(
        credential: try Self.prepared(Array(username.utf8), password), oddity: Self.oddity("the password", password))
    }
    let source = self.username == nil ? "\(prefix)_USERNAME" : "--username"
    throw UsageError(
      "a user name was given (\(source)) but no password: set \(prefix)_PASSWORD or use --password-file")
  }

  /// Asks for a password on the terminal; nil if standard input is not a terminal, or nothing was typed.
  public static func ask(_ question: String) -> [UInt8]? {
    guard StandardStreams.isInputTerminal else { return nil }
    let shown = question.unicodeScalars.filter { $0.properties.generalCategory != .control }
    return Terminal.askSecretly("\(String(String.UnicodeScalarView(shown))): ").flatMap { $0.isEmpty ? nil : $0 }
  }

  /// The shared secret alone, for programs that make credentials from it.
  public func readSharedSecret() throws(UsageError) -> [UInt8]? {
    if let secretFile { return try Self.readSecret(secretFile) }
    return Environment.variables()[prefix + "_SECRET"].flatMap { $0.isEmpty ? nil : Array($0.utf8) }
  }

  /// The password or the secret, never both. An option overrides both environment variables.
  private func readPasswordOrSecret() throws(UsageError) -> (password: [UInt8]?, secret: [UInt8]?) {
    if let passwordFile { return (try Self.readSecret(passwordFile), nil) }
    if let secretFile { return (nil, try Self.readSecret(secretFile)) }
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let password = environment[prefix + "_PASSWORD"].map { Array($0.utf8) }
    let secret = environment[prefix + "_SECRET"].map { Array($0.utf8) }
    if password != nil, secret != nil {
      throw UsageError("\(prefix)_PASSWORD and \(prefix)_SECRET are both set: set only one")
    }
    return (password, secret)
  }

  /// The inputs for the keys that verify recorded messages: the password in each form from which clients derive keys
  /// (SASLprep of RFC 5389, OpaqueString of RFC 8489, or unprepared), or the secret of time-limited credentials.
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

  /// A credential that expires after `lifetime` (draft-uberti-behave-turn-rest-00). Without a name the user name is the
  /// expiry time alone.
  public static func timeLimited(_ name: String?, _ secret: [UInt8], lifetime: Duration) -> LongTermCredential {
    let expiry = Now.read().wall.advanced(by: lifetime)
    let username = Array((name.map { "\(expiry):\($0)" } ?? "\(expiry)").utf8)
    return LongTermCredential(
      username: username, password: TimeLimitedCredential.password(username: username, secret: secret))
  }

  /// Prepares name and password as today's servers do: SASLprep (RFC 5389 section 15.3), which keeps ASCII.
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

  /// A token from its Base64 parts.
  public static func token(
    kid: String, accessToken: String, key: String, _ path: String
  ) throws(UsageError) -> LongTermCredential {
    guard let token = Base64.decode(accessToken), !token.isEmpty else {
      throw UsageError("\(path): the access token is not Base64")
    }
    guard let macKey = Base64.decode(key), (16...32).contains(macKey.count) else {
      throw UsageError("\(path): the MAC key is not Base64 of 16 to 32 bytes")
    }
    guard (1...508).contains(kid.utf8.count) else { throw UsageError("\(path): a kid has 1 to 508 bytes") }
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

/// The certificates that TLS trusts, from the command line.
public struct TrustSource: Sendable {
  /// Path of PEM certificates; nil: the system's authorities.
  public var authorities: String?
  /// Whether any certificate is accepted.
  public var isInsecure = false
  /// Paths of the client's own certificate chain and its private key.
  public var certificate: String?
  public var privateKey: String?

  public init() {}

  /// Refuses options that contradict each other.
  public func check() throws(UsageError) {
    if authorities != nil, isInsecure { throw UsageError("--ca and --insecure contradict each other") }
    if (certificate == nil) != (privateKey == nil) {
      throw UsageError("--certificate and --private-key: give both, or neither")
    }
  }

  /// Makes a client's context from the files; `isDatagram`: for DTLS.
  public func context(isDatagram: Bool = false) throws(UsageError) -> TLSContext {
    var verification = TLSContext.Verification.system
    if let authorities { verification = .authorities(.path(authorities)) }
    if isInsecure { verification = .none }
    do {
      var own: CertificateFiles?
      if let certificate, let privateKey {
        own = try CertificateFiles(chain: .path(certificate), key: .path(privateKey))
      }
      return try TLSContext(client: verification, certificate: own, isDatagram: isDatagram)
    } catch {
      throw UsageError("\(error)")
    }
  }
}
