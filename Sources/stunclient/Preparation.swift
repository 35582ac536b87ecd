internal import ClientIO
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURNClient
internal import Text

/// What both commands need before they can begin.
enum Preparation {
  static func options(_ arguments: Arguments) throws(UsageError) -> CheckOptions {
    var options = CheckOptions()
    options.timeout = arguments.timeout
    options.relayFamily = arguments.relayFamily
    switch arguments.transport ?? arguments.uri.transport {
    case .tls: options.tls = try context(arguments)
    case .dtls: options.dtls = try context(arguments, isDatagram: true)
    case .udp, .tcp: break
    }
    if arguments.command == .relay { (options.credential, options.hasSecret) = try credential(arguments) }
    return options
  }

  static func generator() -> SeededGenerator { SeededGenerator(seed: SecureRandom.bytes(32)) }

  /// Runs a check on each address of the target until one has nothing to complain about; what the others failed with
  /// becomes a note.
  static func onEachAddress<Report>(
    _ arguments: Arguments, _ outcome: inout Outcome, verdict: (Report) -> CheckFailure?,
    _ check: (ServerTarget) -> Report
  ) -> Report? {
    let targets: [ServerTarget]
    do {
      targets = try ServerTarget.resolve(arguments.uri, transport: arguments.transport, family: arguments.family)
    } catch {
      outcome.failure = CheckFailure(error)
      return nil
    }
    var first: Report?
    for target in targets {
      let report = check(target)
      guard let failure = verdict(report) else {
        if let first, let earlier = verdict(first) { outcome.notes.append("first tried: \(earlier.message)") }
        return report
      }
      if first == nil { first = report }
      // Only what is about the way there may be different for another address.
      guard [.refused, .unreachable, .timeout].contains(failure.reason) else { break }
    }
    return first
  }

  private static func context(_ arguments: Arguments, isDatagram: Bool = false) throws(UsageError) -> TLSContext {
    var verification = TLSContext.Verification.system
    if let path = arguments.authorities { verification = .authorities(.path(path)) }
    if arguments.isInsecure { verification = .none }
    do { return try TLSContext(client: verification, isDatagram: isDatagram) } catch { throw UsageError("\(error)") }
  }

  // MARK: - Credentials

  /// How long a credential made from a secret is good for, in seconds: the check, and clocks that differ.
  private static let credentialLifetime: UInt64 = 600

  private static func credential(_ arguments: Arguments) throws(UsageError) -> (LongTermCredential?, Bool) {
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let username = arguments.username ?? environment["STUNCLIENT_USERNAME"]
    var password = try arguments.passwordFile.map(readSecret)
    var secret = try arguments.secretFile.map(readSecret)
    if password == nil, secret == nil {
      password = environment["STUNCLIENT_PASSWORD"].map { Array($0.utf8) }
      secret = environment["STUNCLIENT_SECRET"].map { Array($0.utf8) }
      if password != nil, secret != nil {
        throw UsageError("STUNCLIENT_PASSWORD and STUNCLIENT_SECRET are both set: one of them")
      }
    }
    if let secret {
      let expiry = Now.read().wallSeconds + credentialLifetime
      let name = Array("\(expiry):\(username ?? "stunclient")".utf8)
      let password = TimeLimitedCredential.password(username: name, secret: secret)
      return (LongTermCredential(username: name, password: password), true)
    }
    guard let username else {
      if password != nil { throw UsageError("a password without --username") }
      return (nil, false)
    }
    guard let password else { throw UsageError("--username without --password-file or --secret-file") }
    guard (1...508).contains(username.utf8.count) else { throw UsageError("a user name has 1 to 508 bytes") }
    return (
      LongTermCredential(
        username: try prepare(Array(username.utf8), "the user name"), password: try prepare(password, "the password")),
      false
    )
  }

  /// SASLprep, as servers of today derive their keys (RFC 5389 section 15.3); ASCII stays as it is.
  private static func prepare(_ bytes: [UInt8], _ what: String) throws(UsageError) -> [UInt8] {
    do { return try SASLprep.prepare(bytes) } catch { throw UsageError("\(what): \(error)") }
  }

  /// A password or secret from a file.
  private static func readSecret(_ path: String) throws(UsageError) -> [UInt8] {
    let content: [UInt8]
    do { content = try Files.readSecret(path) } catch { throw UsageError("\(path): \(error)") }
    guard !content.isEmpty else { throw UsageError("\(path): is empty") }
    return content
  }
}
