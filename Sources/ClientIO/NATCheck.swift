public import Crypto
internal import NetIO
internal import NetworkTypes
internal import System
public import TURNClient

/// The behaviour of the NAT between this machine and a server.
public struct NATReport: Sendable {
  public var target: ServerTarget
  /// Nil if there is no result.
  public var behaviour: NATBehaviour?
  /// The tests in order.
  public var trials: [NATDiscovery.Trial] = []
  /// Nil: not measured.
  public var lifetime: Result<BindingLifetime, NATBehaviour.Unknown>?
  /// The reason why there is no result, or a fault of the mapped address.
  public var failure: CheckFailure?
  /// Warnings.
  public var complaints: [CheckFailure] = []
  /// The first round trip.
  public var roundTrip: Duration?

  public var verdict: CheckFailure? { failure }

  /// Checks the mapped address.
  mutating func judgeAddresses() {
    guard let behaviour,
      let found = AddressCheck.mapped(
        behaviour.mappedAddress, local: behaviour.localAddress, server: target.address)
    else { return }
    if found.isFatal { failure = failure ?? found.failure } else { complaints = [found.failure] }
  }
}

/// Runs the tests of RFC 5780 over UDP sockets.
public struct NATCheck: ~Copyable {
  private let target: ServerTarget
  private let options: CheckOptions
  private var report: NATReport
  private var generator: SeededGenerator
  /// Sockets on the address from which this machine reaches the server, each on its own port.
  private let mapping: ClientSocket
  private let filtering: ClientSocket
  private let hairpin: ClientSocket
  private var buffer = [UInt8](repeating: 0, count: 2048)

  /// Runs the tests that `questions` selects, and measures the lifetime of bindings up to `lifetime` unless it is nil.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, questions: NATDiscovery.Questions, lifetime: Duration?,
    generator: consuming SeededGenerator
  ) -> NATReport {
    var generator = generator
    if let failure = outrightRefusal(target, options, &generator) {
      var report = NATReport(target: target)
      report.failure = failure
      return report
    }
    let check: NATCheck
    do {
      check = try NATCheck(target, options, generator)
    } catch {
      var report = NATReport(target: target)
      report.failure = CheckFailure(
        ConnectionFailure(error, isBound: options.local != nil), target, within: options.within)
      return report
    }
    return check.run(questions, lifetime)
  }

  /// Finds a closed port with a connected socket: the kernel does not report it to the tests' unconnected sockets.
  private static func outrightRefusal(
    _ target: ServerTarget, _ options: CheckOptions, _ generator: inout SeededGenerator
  ) -> CheckFailure? {
    var options = options
    options.local?.port = 0
    options.timeout = min(options.timeout, .seconds(1))
    options.looksAround = false
    guard let failure = BindingCheck.run(target, options, generator: &generator).verdict else { return nil }
    return [.refused, .unreachable].contains(failure.reason) ? failure : nil
  }

  private init(
    _ target: ServerTarget, _ options: CheckOptions, _ generator: consuming SeededGenerator
  ) throws(Errno) {
    let route = try ClientSocket.udp(to: target.address, from: options.local)
    let source = route.localAddress ?? SocketAddress(.ipv4Any, port: 0)
    let own = SocketAddress(source.address, port: 0, scope: source.scope)
    // The route is known now, so the `mapping` socket can get the user's port.
    let port = options.local?.port ?? 0
    _ = consume route
    let mapping = try ClientSocket.udp(boundTo: SocketAddress(source.address, port: port, scope: source.scope))
    let filtering = try ClientSocket.udp(boundTo: own)
    let hairpin = try ClientSocket.udp(boundTo: own)
    self.mapping = mapping
    self.filtering = filtering
    self.hairpin = hairpin
    self.target = target
    self.options = options
    self.generator = generator
    report = NATReport(target: target)
  }

  private consuming func run(_ questions: NATDiscovery.Questions, _ lifetime: Duration?) -> NATReport {
    guard let local = mapping.localAddress else {
      report.failure = CheckFailure(.system, "the kernel does not report a socket's local address")
      return report
    }
    var discovery = NATDiscovery(server: target.address, localAddress: local, questions: questions)
    while true {
      switch discovery.step {
      case .request(let request): discovery.answer(ask(request))
      case .hairpin(let mapped, let other): discovery.answerHairpin(from: turnRound(mapped, other))
      case .done:
        report.behaviour = discovery.behaviour
        report.trials = discovery.trials
        if let failure = discovery.failure {
          report.failure = CheckFailure(failure, "Binding", target, options)
        } else if let lifetime {
          report.lifetime = measureLifetime(upTo: lifetime)
        }
        report.judgeAddresses()
        return report
      }
    }
  }

  // MARK: - Requests

  /// Timeout after which silence counts as an answer: eight round trips, at least 1.5 s for a slow answer, and at most
  /// the user's timeout.
  private var silenceTimeout: Duration {
    let roundTrips = (report.roundTrip ?? .zero) * 8
    return min(max(.milliseconds(1500), roundTrips), options.timeout)
  }

  private mutating func ask(_ request: NATDiscovery.Request) -> NATDiscovery.Answer {
    var settings = options.effectiveRetransmission
    if request.maySilence {
      settings.initialTimeout = .milliseconds(250)
      settings.limit = silenceTimeout
    }
    let answer: NATDiscovery.Answer
    switch request.socket {
    case .mapping: answer = Self.exchange(mapping, request, settings, &buffer, &generator)
    case .filtering: answer = Self.exchange(filtering, request, settings, &buffer, &generator)
    case .hairpin: answer = Self.exchange(hairpin, request, settings, &buffer, &generator)
    }
    if case .response(let response, _) = answer, report.roundTrip == nil { report.roundTrip = response.roundTrip }
    return answer
  }

  private static func exchange(
    _ socket: borrowing ClientSocket, _ request: NATDiscovery.Request, _ settings: Retransmission.Settings,
    _ buffer: inout [UInt8], _ generator: inout SeededGenerator
  ) -> NATDiscovery.Answer {
    var probe = BindingProbe(
      isStream: false, detour: request.detour, hasFingerprint: false, settings: settings, generator: &generator,
      now: .read())
    var source = SocketAddress.none
    while let deadline = probe.deadline {
      if let bytes = probe.takeOutput() { _ = try? socket.send(bytes.span.rawBytes, to: request.destination) }
      if let count = receive(socket, &buffer, &source, until: deadline) {
        probe.receive(buffer.span.rawBytes.extracting(0..<count), now: .read())
      }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    switch probe.outcome {
    case .success(let response)?: return .response(response, from: source)
    case .failure(let failure)?: return .failure(failure)
    case nil: return .failure(.timeout(transmissions: 0, discarded: nil))
    }
  }

  static func receive(
    _ socket: borrowing ClientSocket, _ buffer: inout [UInt8], _ source: inout SocketAddress, until deadline: Instant
  ) -> Int? {
    while true {
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      if case .bytes(let count) = socket.receive(into: &bytes, from: &source) { return count }
      guard Readiness.wait(for: socket.rawValue, until: deadline) else { return nil }
    }
  }

  // MARK: - Hairpinning

  /// Both sockets send to each other's mapped address, so that no filter blocks them; returns the source that the
  /// `mapping` socket receives from.
  private mutating func turnRound(_ mapped: SocketAddress, _ other: SocketAddress) -> SocketAddress? {
    let word = generator.next()
    let packet = Array("stunclient hairpin \(word)".utf8)
    let opening = Array("stunclient opening \(word)".utf8)
    let end = Instant.read().advanced(by: silenceTimeout)
    for attempt in 1...3 {
      _ = try? mapping.send(opening.span.rawBytes, to: other)
      _ = try? hairpin.send(packet.span.rawBytes, to: mapped)
      let wait = attempt == 3 ? end : min(end, Instant.read().advanced(by: .milliseconds(250)))
      var source = SocketAddress.none
      while let count = Self.receive(mapping, &buffer, &source, until: wait) {
        if buffer.prefix(count).elementsEqual(packet) { return source }
        if Instant.read() >= wait { break }
      }
    }
    return nil
  }

  // MARK: - Lifetime (RFC 5780 section 4.6)

  private mutating func measureLifetime(upTo maximum: Duration) -> Result<BindingLifetime, NATBehaviour.Unknown> {
    do {
      var search = try LifetimeSearch(
        target.address, from: options.local, BindingLifetime.schedule(upTo: maximum), timeout: silenceTimeout)
      try search.bind(&generator)
      return .success(search.run(&generator))
    } catch {
      return .failure(error)
    }
  }
}
