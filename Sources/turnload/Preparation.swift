internal import ClientIO
internal import Crypto
internal import LoadGeneration
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURNClient
internal import Text

/// From the command line to what the generator needs.
enum Preparation {
  static func settings(_ arguments: Arguments, _ work: LoadSettings.Work) throws(UsageError) -> LoadSettings {
    let target = try target(arguments)
    var settings = LoadSettings(server: target.address)
    settings.work = work
    settings.transport = target.transport
    settings.serverName = target.serverName
    settings.direction = arguments.direction ?? .toPeer
    settings.usesIndications = arguments.usesIndications
    settings.payloadByteCount = arguments.size ?? 172
    settings.allocations = arguments.allocations ?? (work == .relayToRelay ? 2 : 1)
    settings.burst = arguments.burst
    settings.pace = arguments.pace ?? .window(256)
    settings.segments = arguments.segments
    settings.coalesces = arguments.coalesces
    settings.duration = arguments.duration
    settings.warmUp = arguments.warmUp
    settings.serverProcess = arguments.serverProcess
    settings.serverCore = arguments.serverCore
    if target.transport == .tls { settings.tls = try context(arguments) }
    settings.credential = work == .binding || work == .floor ? nil : try credential(arguments)
    return settings
  }

  /// The first address of the target. Loading somebody else's server is an attack: other addresses than loopback and
  /// private ones need the user's word.
  private static func target(_ arguments: Arguments) throws(UsageError) -> ServerTarget {
    let found: [ServerTarget]
    do { found = try ServerTarget.resolve(arguments.uri, transport: arguments.transport) } catch {
      throw UsageError("the target can't be resolved: \(error)")
    }
    guard let target = found.first else { throw UsageError("the target has no address") }
    guard arguments.isOwner || OwnNetworks.contain(target.address.address) else {
      throw UsageError(
        "\(target.address.address) is neither a loopback nor a private address: say --i-own-this-server if you do")
    }
    return target
  }

  private static func context(_ arguments: Arguments) throws(UsageError) -> TLSContext {
    var verification = TLSContext.Verification.system
    if let path = arguments.authorities { verification = .authorities(.path(path)) }
    if arguments.isInsecure { verification = .none }
    do { return try TLSContext(client: verification) } catch { throw UsageError("\(error)") }
  }

  // MARK: - Credentials

  /// How long a credential made from a secret is good for, in seconds.
  private static let credentialLifetime: UInt64 = 86_400

  private static func credential(_ arguments: Arguments) throws(UsageError) -> LongTermCredential? {
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let username = arguments.username ?? environment["TURNLOAD_USERNAME"]
    var password = try arguments.passwordFile.map(readSecret)
    var secret = try arguments.secretFile.map(readSecret)
    if password == nil, secret == nil {
      password = environment["TURNLOAD_PASSWORD"].map { Array($0.utf8) }
      secret = environment["TURNLOAD_SECRET"].map { Array($0.utf8) }
      if password != nil, secret != nil {
        throw UsageError("TURNLOAD_PASSWORD and TURNLOAD_SECRET are both set: one of them")
      }
    }
    if let secret {
      let expiry = Now.read().wallSeconds + credentialLifetime
      let name = Array("\(expiry):\(username ?? "turnload")".utf8)
      return LongTermCredential(
        username: name, password: TimeLimitedCredential.password(username: name, secret: secret))
    }
    guard let username else {
      if password != nil { throw UsageError("a password without --username") }
      return nil
    }
    guard let password else { throw UsageError("--username without --password-file or --secret-file") }
    guard (1...508).contains(username.utf8.count) else { throw UsageError("a user name has 1 to 508 bytes") }
    return LongTermCredential(
      username: try prepare(Array(username.utf8), "the user name"), password: try prepare(password, "the password"))
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

/// Addresses that nobody but ourselves can have.
enum OwnNetworks {
  private static let blocks = [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10",
  ].compactMap { CIDRBlock($0) }

  static func contain(_ address: IPAddress) -> Bool { blocks.contains { $0.contains(address) } }
}
