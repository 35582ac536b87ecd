internal import System
public import Crypto
internal import NetIO
internal import NetworkTypes
internal import TURNClient

extension NATCheck {
  /// Tests the NAT's mapping over TCP: one connection after another from the same local port (RFC 5780 section 4.3).
  /// Filtering and the lifetime of bindings can be tested over UDP only, because a server cannot answer a connection
  /// from another address.
  public static func runOverTCP(
    _ target: ServerTarget, _ options: CheckOptions, generator: consuming SeededGenerator
  ) -> NATReport {
    var generator = generator
    var report = NATReport(target: target)
    do {
      let route = try source(of: target, options)
      let first = try exchange(target.address, from: route, target, options, &generator)
      report.roundTrip = (try? first.answer.get())?.roundTrip
      var questions = NATDiscovery.Questions()
      questions.filtering = false
      questions.hairpinning = false
      var discovery = NATDiscovery(server: target.address, localAddress: first.local, questions: questions)
      discovery.answer(answer(first.answer, from: target.address))
      while case .request(let request) = discovery.step {
        // A failed connection to another address of the server counts as an answer, like silence.
        let next = try? exchange(request.destination, from: first.local, target, options, &generator)
        discovery.answer(
          answer(next?.answer ?? .failure(.timeout(transmissions: 1, discarded: nil)), from: request.destination))
      }
      report.behaviour = discovery.behaviour
      report.trials = discovery.trials
      if let failure = discovery.failure { report.failure = CheckFailure(failure, "Binding", target, options) }
      report.judgeAddresses()
    } catch {
      report.failure = CheckFailure(error, target, within: options.within)
    }
    let reason = NATBehaviour.Unknown("can be tested over UDP only")
    report.behaviour?.filtering = .failure(reason)
    report.behaviour?.hairpinning = .failure(reason)
    return report
  }

  /// The local address that reaches the server, with the user's port.
  private static func source(
    of target: ServerTarget, _ options: CheckOptions
  ) throws(ConnectionFailure) -> SocketAddress {
    do {
      var local = options.local
      local?.port = 0
      let route = try ClientSocket.udp(to: target.address, from: local)
      var source = route.localAddress ?? SocketAddress(.ipv4Any, port: 0)
      source.port = options.local?.port ?? 0
      return source
    } catch {
      throw ConnectionFailure(error, isBound: options.local != nil)
    }
  }

  private static func answer(
    _ result: Result<BindingProbe.Response, RequestFailure>, from source: SocketAddress
  ) -> NATDiscovery.Answer {
    switch result {
    case .success(let response): .response(response, from: source)
    case .failure(let failure): .failure(failure)
    }
  }

  /// Sends one Binding request over a new connection.
  private static func exchange(
    _ destination: SocketAddress, from local: SocketAddress, _ target: ServerTarget, _ options: CheckOptions,
    _ generator: inout SeededGenerator
  ) throws(ConnectionFailure) -> (answer: Result<BindingProbe.Response, RequestFailure>, local: SocketAddress) {
    let settings = ClientConnection.Settings(transport: .tcp, remote: destination, local: local)
    var connection = try ClientConnection(settings, until: .read().advanced(by: options.timeout))
    var probe = BindingProbe(
      isStream: true, hasFingerprint: false, settings: options.effectiveRetransmission, generator: &generator,
      now: .read())
    while probe.outcome == nil, let deadline = probe.deadline {
      if let request = probe.takeOutput() { try connection.send(request, until: deadline) }
      if try connection.receive(until: deadline) { probe.receive(connection.message, now: .read()) }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    let result = probe.outcome ?? .failure(.timeout(transmissions: 1, discarded: nil))
    return (result, connection.localAddress ?? local)
  }
}
