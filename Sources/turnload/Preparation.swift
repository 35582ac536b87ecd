internal import ClientIO
internal import Probe
internal import CommandLine
internal import Crypto
internal import LoadGeneration
internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURNClient

/// Makes the generator's settings from the command line.
enum Preparation {
  /// The load, or the reason why it cannot run.
  struct Plan {
    var settings: LoadSettings
    var failure: Failure?
  }

  static func plan(_ arguments: Arguments, _ work: LoadSettings.Work) throws(UsageError) -> Plan {
    switch try target(arguments) {
    case .success(let target): return Plan(settings: try settings(arguments, work, target))
    case .failure(let failure):
      return Plan(settings: try settings(arguments, work, nil), failure: Failure(CheckFailure(failure)))
    }
  }

  /// `target`: nil if the name did not resolve.
  private static func settings(
    _ arguments: Arguments, _ work: LoadSettings.Work, _ target: ServerTarget?
  ) throws(UsageError) -> LoadSettings {
    var settings = LoadSettings(server: target?.address ?? .none)
    settings.work = work
    settings.transport = target?.transport ?? arguments.transport ?? arguments.uri.transport
    settings.serverName = target?.serverName ?? arguments.uri.host.description
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
    settings.serverHelpers = arguments.serverHelpers
    settings.serverCore = arguments.serverCore
    for process in [arguments.serverProcess].compactMap(\.self) + arguments.serverHelpers
    where ProcessorTime.ofProcess(process) == nil {
      throw UsageError("there is no process \(process), or it cannot be read")
    }
    if let core = arguments.serverCore, ProcessorTime.idle(ofCore: core) == nil {
      throw UsageError("--server-core \(core): this machine has no such core")
    }
    if settings.transport.isSecure {
      settings.tls = try arguments.trust.context(isDatagram: settings.transport == .dtls)
    }
    settings.credential = work == .binding || work == .floor ? nil : try arguments.credentials.read()?.credential
    return settings
  }

  /// Tries one ordinary connection before the load; nil if it succeeds. The kernel does not report a refused port to
  /// the sockets of a UDP load, which would wait for ten seconds, and the load's TLS connections describe an untrusted
  /// certificate in less detail.
  static func refusal(_ arguments: Arguments, _ settings: LoadSettings) -> CheckFailure? {
    guard settings.work != .floor else { return nil }
    var options = CheckOptions()
    options.timeout = .milliseconds(settings.transport == .udp ? 250 : 1500)
    options.tls = settings.transport == .tls ? settings.tls : nil
    options.dtls = settings.transport == .dtls ? settings.tls : nil
    let target = ServerTarget(uri: arguments.uri, transport: settings.transport, address: settings.server)
    var generator = SeededGenerator(seed: SecureRandom.bytes(32))
    guard let failure = BindingCheck.run(target, options, generator: &generator).verdict,
      [.refused, .unreachable, .otherSource].contains(failure.reason) || failure.reason.rawValue.hasPrefix("tls")
    else { return nil }
    return failure
  }

  /// The first address of the target. Load on other people's servers is an attack: addresses other than loopback and
  /// private ones need `--i-own-this-server`.
  private static func target(_ arguments: Arguments) throws(UsageError) -> Result<ServerTarget, ConnectionFailure> {
    let found: [ServerTarget]
    do { found = try ServerTarget.resolve(arguments.uri, transport: arguments.transport) } catch {
      return .failure(error)
    }
    guard let target = found.first else {
      return .failure(.unresolved(name: arguments.uri.host.description, .notFound))
    }
    try OwnNetworks.demand(target.address.address, isOwner: arguments.isOwner)
    return .success(target)
  }
}
