internal import System
public import Crypto
internal import NetIO
public import NetworkTypes
public import TLS
public import TURNClient

/// Binding requests to one server over one socket, and their results.
public struct BindingReport: ConnectionReport, Sendable {
  public var target: ServerTarget
  public var localAddress: SocketAddress?
  /// The duration of the TCP connection's setup; zero over UDP and DTLS.
  public var connectDuration = Duration.zero
  /// The duration of the TLS or DTLS handshake; zero without one.
  public var handshakeDuration = Duration.zero
  public var tls: TLSConnectionSummary?
  /// The results of the requests that have ended, in order.
  public var samples: [Result<BindingProbe.Response, CheckFailure>] = []
  /// Whether a request was pending when the user interrupted the series: it counts as neither answered nor lost.
  public var hasPending = false
  /// The reason why requests were not sent or not answered; or a fault in the answers.
  public var failure: CheckFailure?
  /// Warnings.
  public var complaints: [CheckFailure] = []

  /// Counts an ended request; nil: one that was pending at the user's interruption.
  fileprivate mutating func add(_ sample: Result<BindingProbe.Response, CheckFailure>?) {
    if let sample { samples.append(sample) } else { hasPending = true }
  }

  /// The number of requests sent.
  public var sent: Int { samples.count + (hasPending ? 1 : 0) }

  /// The last good answer.
  public var response: BindingProbe.Response? {
    for sample in samples.reversed() { if case .success(let response) = sample { return response } }
    return nil
  }

  /// Round trips of the good answers, in order.
  public var roundTrips: [Duration] {
    samples.compactMap { sample in if case .success(let response) = sample { response.roundTrip } else { nil } }
  }

  /// The first failure, if no request succeeded.
  public var verdict: CheckFailure? {
    if let failure { return failure }
    if response != nil { return nil }
    for sample in samples { if case .failure(let failure) = sample { return failure } }
    return nil
  }

  /// Checks the mapped addresses; an impossible one is a failure.
  mutating func judgeAddresses() {
    let found = samples.compactMap { sample -> AddressCheck.Complaint? in
      guard case .success(let response) = sample else { return nil }
      return AddressCheck.mapped(response.mappedAddress, local: localAddress, server: target.address)
    }
    if let fatal = found.first(where: \.isFatal) {
      failure = failure ?? fatal.failure
    } else if let first = found.first {
      complaints.append(first.failure)
    }
  }
}

/// Sends Binding requests to one server, one after another.
public enum BindingCheck {
  /// Sends `count` Binding requests, `interval` apart, and reports each when it ends. With a count above one each
  /// request is sent once only, so that loss can be counted. `stop` is called every 50 ms at least; the request that is
  /// pending then counts as sent and not as lost.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int = 1, interval: Duration = .seconds(1),
    generator: inout SeededGenerator, stop: () -> Bool = { false },
    progress: (Int, Result<BindingProbe.Response, CheckFailure>) -> Void = { _, _ in }
  ) -> BindingReport {
    var report = BindingReport(target: target)
    do {
      var connection = try options.connect(to: target)
      report.describe(connection)
      let retransmission = count > 1 ? options.singleTransmission : options.effectiveRetransmission
      var next = Instant.read()
      for index in 0..<max(count, 1) {
        while !stop(), Instant.read() < next {
          Readiness.sleep(until: min(next, .read().advanced(by: .milliseconds(50))))
        }
        if stop() { break }
        next = next.advanced(by: interval)
        report.add(probe(&connection, target, options, retransmission, &generator, stop))
        guard !report.hasPending, let sample = report.samples.last else { break }
        progress(index, sample)
        // A broken stream stays broken.
        if case .failure = sample, target.transport.isStream { break }
      }
      connection.close()
      // The series ended before the first answer: a failure.
      if report.samples.isEmpty { report.failure = .interrupted(target) }
      report.judgeAddresses()
    } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      report.failure = CheckFailure(error, target, within: options.within)
    }
    if report.response == nil, var failure = report.verdict, !failure.isInterruption {
      failure.lookAround(target, options, isHurried: stop(), &generator)
      report.failure = failure
    }
    return report
  }

  private static func probe(
    _ connection: inout ClientConnection, _ target: ServerTarget, _ options: CheckOptions,
    _ retransmission: Retransmission.Settings, _ generator: inout SeededGenerator, _ stop: () -> Bool
  ) -> Result<BindingProbe.Response, CheckFailure>? {
    var probe = BindingProbe(
      isStream: target.transport.isStream, settings: retransmission, generator: &generator, now: .read())
    do {
      while probe.outcome == nil {
        guard let deadline = probe.deadline else { break }
        if let request = probe.takeOutput() { try connection.send(request, until: deadline) }
        let due = min(deadline, .read().advanced(by: .milliseconds(50)))
        if try connection.receive(until: due) {
          probe.receive(connection.message, now: .read())
        } else if due < deadline, stop() {
          return nil
        }
        // The timers run after every message: a flood of other messages must not delay them.
        probe.advance(to: .read())
      }
    } catch {
      return .failure(CheckFailure(error, target, within: options.within))
    }
    switch probe.outcome {
    case .success(let response)?: return .success(response)
    case .failure(let failure)?:
      return .failure(CheckFailure(failure, "Binding", target, options))
    case nil: return .failure(CheckFailure(.timeout, "Binding: no outcome"))
    }
  }
}
