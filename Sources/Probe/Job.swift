internal import ClientIO
internal import CommandLine
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURNClient

/// One check of one target, with all inputs already read.
struct Job: Sendable {
  var arguments: ProbeRequest
  var options: CheckOptions
  /// The shared secret that the credential was made from; nil if it was not made here.
  var secret: [UInt8]?
  /// A detail of the password or secret that is easily overlooked, such as a space at its end; nil if there is none.
  var oddity: String?
  /// Text before each line, which identifies this check among others of the same run.
  var label = ""
  /// Ends a series early; nil for parallel checks: a signal then ends the whole program.
  var interruption: Interruption? = Interruption()

  /// Whether a series must end: standard output is closed, or a signal has come.
  var isStopped: Bool { Output.isGone || interruption?.watch() == true }

  /// Reads the files and environment variables that the command line names.
  init(_ arguments: ProbeRequest) throws(UsageError) {
    var options = CheckOptions()
    options.timeout = arguments.timeout
    options.relayFamily = arguments.relayFamily
    try options.trust(arguments.trust, for: arguments.transports(of: arguments.uri))
    if [.relay, .security].contains(arguments.command) {
      let credential = try arguments.credentials.read()
      options.credential = credential?.credential
      options.hasSecret = credential?.secret != nil
      secret = credential?.secret
      oddity = credential?.oddity
      if arguments.command == .security, options.credential != nil {
        options.otherCredential = try arguments.second.read(beside: arguments.credentials, secret: secret)
      }
    }
    self.arguments = arguments
    self.options = options
  }

  var outcome: Outcome {
    var outcome = Outcome(
      command: arguments.command.rawValue, uri: arguments.uri.description, hints: arguments.uri.hints)
    if arguments.uri.scheme.isSecure, let transport = arguments.transport, !transport.isSecure {
      outcome.hints.append(
        "\(arguments.uri.scheme.rawValue): means TLS or DTLS; over plain \(transport.label) nothing was encrypted")
    }
    return outcome
  }

  static func generator() -> SeededGenerator { SeededGenerator(seed: SecureRandom.bytes(32)) }

  /// The addresses of the target. Nil if there are none; the outcome then has the reason.
  func targets(_ outcome: inout Outcome) -> [ServerTarget]? {
    var settings = DiscoverySettings()
    settings.family = arguments.family
    settings.transport = arguments.transport
    settings.nameServer = arguments.nameServer
    settings.timeout = min(settings.timeout, arguments.timeout)
    var generator = Self.generator()
    let (result, trace) = ServerTarget.discover(arguments.uri, settings, generator: &generator)
    outcome.trace = trace
    switch result {
    case .success(let targets):
      guard arguments.isStuntmanCompatible else { return targets }
      return targets.filter { $0.address.family == .ipv4 } + targets.filter { $0.address.family == .ipv6 }
    case .failure(let failure):
      outcome.failure = CheckFailure(failure)
      return nil
    }
  }

  /// The options for one of the target's addresses, with the user's local address. Nil if the local address is of the
  /// other family.
  func options(for target: ServerTarget) throws(UsageError) -> CheckOptions? {
    guard arguments.localAddress != nil || arguments.localPort != 0 else { return options }
    let family = target.address.family
    guard let address = try LocalAddress.find(arguments.localAddress, family) else { return nil }
    var options = options
    options.local = SocketAddress(address.address, port: arguments.localPort, scope: address.scope)
    return options
  }

  /// Tries the addresses in order; stops at the first that is reached, or on Ctrl-C. Failures of the others become
  /// notes. Nil if no address could be used; the outcome then has the reason.
  func onEachAddress<Report>(
    _ targets: [ServerTarget], _ outcome: inout Outcome, verdict: (Report) -> CheckFailure?,
    _ check: (ServerTarget, CheckOptions) -> Report
  ) throws(UsageError) -> Report? {
    var first: Report?
    var failures: [CheckFailure] = []
    for target in targets {
      guard let options = try options(for: target) else { continue }
      let report = check(target, options)
      // Another address can help only if this one was not reached. After any other failure the server was reached, and
      // this failure is reported.
      guard let failure = verdict(report), [.refused, .unreachable, .timeout, .otherSource].contains(failure.reason)
      else {
        outcome.notes += failures.map { "first tried: \($0.message)" }
        return report
      }
      failures.append(failure)
      if first == nil { first = report }
      if interruption?.isInterrupted == true { break }
    }
    if first == nil {
      outcome.failure = CheckFailure(
        .unresolved, "\(arguments.uri.host) has no address of the family of --localaddr",
        advice: "give an address of the other family, or none")
    }
    outcome.notes += failures.dropFirst().map { "then tried: \($0.message)" }
    return first
  }
}

extension ProbeRequest {
  /// The possible transports of a URI: for turns: without a transport, DNS records choose.
  func transports(of uri: ServerURI) -> [TransportProtocol] {
    if let transport { return [transport] }
    return uri.scheme == .turns && uri.transportParameter == nil ? [.tls, .dtls] : [uri.transport]
  }
}

extension CheckOptions {
  /// Makes the TLS contexts that the transports need; certificates are read once for all checks.
  mutating func trust(_ source: TrustSource, for transports: [TransportProtocol]) throws(UsageError) {
    if transports.contains(.tls) { tls = try source.context() }
    if transports.contains(.dtls) { dtls = try source.context(isDatagram: true) }
  }
}

/// The value of `--localaddr`: an address of this machine, or an interface.
enum LocalAddress {
  private static let linkLocal = [CIDRBlock("169.254.0.0/16"), CIDRBlock("fe80::/10")]

  static func isLinkLocal(_ address: IPAddress) -> Bool { linkLocal.contains { $0?.contains(address) == true } }

  /// The address of the given family; nil if the value is of the other family.
  static func find(_ text: String?, _ family: IPAddress.Family) throws(UsageError) -> SocketAddress? {
    guard let text else { return SocketAddress(family == .ipv4 ? .ipv4Any : .ipv6Any, port: 0) }
    if let address = IPAddress(text) { return address.family == family ? SocketAddress(address, port: 0) : nil }
    let found = Interfaces.addresses(of: text)
    guard !found.isEmpty else {
      throw UsageError("--localaddr \(text): neither an address nor an interface that has one")
    }
    return found.first { $0.family == family }
  }
}
