internal import ClientIO
internal import ClientPrograms
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURNClient

/// One check of one target, with everything that has to be read before it can begin.
struct Job: Sendable {
  var arguments: Arguments
  var options: CheckOptions
  /// What the credential was made from; nil: it was not made here.
  var secret: [UInt8]?
  /// What tells the lines of this check from those of others that are made beside or after it.
  var label = ""
  /// What ends a series before its time; nil: checks run side by side, and what is not theirs ends all of them.
  var interruption: Interruption? = Interruption()

  /// Whether a series is to go no further.
  var isStopped: Bool { Output.isGone || interruption?.isThere == true }

  /// The check that the command line asks for.
  init(_ arguments: Arguments) throws(UsageError) {
    var options = CheckOptions()
    options.timeout = arguments.timeout
    options.relayFamily = arguments.relayFamily
    try options.trust(arguments.trust, for: arguments.transports(of: arguments.uri))
    if [.relay, .security].contains(arguments.command) {
      let credential = try arguments.credentials.read()
      options.credential = credential?.credential
      options.hasSecret = credential?.secret != nil
      secret = credential?.secret
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
        "\(arguments.uri.scheme.rawValue): asks for TLS or DTLS: over plain \(transport.label) nothing was encrypted")
    }
    return outcome
  }

  static func generator() -> SeededGenerator { SeededGenerator(seed: SecureRandom.bytes(32)) }

  /// The addresses of the target; nil, and the outcome says why, where there is none.
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
      guard arguments.isStuntmans else { return targets }
      return targets.filter { $0.address.family == .ipv4 } + targets.filter { $0.address.family == .ipv6 }
    case .failure(let failure):
      outcome.failure = CheckFailure(failure)
      return nil
    }
  }

  /// The options for one of the target's addresses: bound where the user wants it. Nil where the local address is of
  /// the other family.
  func options(for target: ServerTarget) throws(UsageError) -> CheckOptions? {
    guard arguments.localAddress != nil || arguments.localPort != 0 else { return options }
    let family = target.address.family
    guard let address = try LocalAddress.find(arguments.localAddress, family) else { return nil }
    var options = options
    options.local = SocketAddress(address.address, port: arguments.localPort, scope: address.scope)
    return options
  }

  /// Runs a check on each address until one has nothing to complain about, or somebody wants no more; what the others
  /// failed with becomes a note. Nil, and the outcome says why, where none could be used.
  func onEachAddress<Report>(
    _ targets: [ServerTarget], _ outcome: inout Outcome, verdict: (Report) -> CheckFailure?,
    _ check: (ServerTarget, CheckOptions) -> Report
  ) throws(UsageError) -> Report? {
    var first: Report?
    var failures: [CheckFailure] = []
    for target in targets {
      guard let options = try options(for: target) else { continue }
      let report = check(target, options)
      // Only what is about the way there may be different for another address: with anything else, this one was
      // reached, and its trouble is the one to report.
      guard let failure = verdict(report), [.refused, .unreachable, .timeout].contains(failure.reason) else {
        outcome.notes += failures.map { "first tried: \($0.message)" }
        return report
      }
      failures.append(failure)
      if first == nil { first = report }
      if interruption?.hasCome == true { break }
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

extension Arguments {
  /// What a URI may come to: the name service chooses where nobody else does.
  func transports(of uri: ServerURI) -> [TransportProtocol] {
    if let transport { return [transport] }
    return uri.scheme == .turns && uri.transportParameter == nil ? [.tls, .dtls] : [uri.transport]
  }
}

extension CheckOptions {
  /// Gets ready what the transports need: certificates are read once, however many checks follow.
  mutating func trust(_ source: TrustSource, for transports: [TransportProtocol]) throws(UsageError) {
    if transports.contains(.tls) { tls = try source.context() }
    if transports.contains(.dtls) { dtls = try source.context(isDatagram: true) }
  }
}

/// What `--localaddr` names: an address of this machine, or an interface that has one.
enum LocalAddress {
  private static let linkLocal = [CIDRBlock("169.254.0.0/16"), CIDRBlock("fe80::/10")]

  static func isLinkLocal(_ address: IPAddress) -> Bool { linkLocal.contains { $0?.contains(address) == true } }

  /// Nil where what is named is of the other family.
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
