public import Crypto
internal import NetIO
public import NetworkTypes
public import TLS
public import TURNClient

/// Binding requests to one server over one socket, and what came of them.
public struct BindingReport: Sendable {
  public var target: ServerTarget
  public var localAddress: SocketAddress?
  /// Nanoseconds; 0 over UDP, and without TLS.
  public var connectDuration: UInt64 = 0
  public var handshakeDuration: UInt64 = 0
  public var tls: TLSConnectionSummary?
  /// One for each request that has ended, in order.
  public var samples: [Result<BindingProbe.Response, CheckFailure>] = []
  /// Whether a request was under way when somebody wanted no more: it is neither answered nor lost.
  public var hasPending = false
  /// What kept the requests from being made at all, or from being answered.
  public var failure: CheckFailure?

  /// Requests that were made.
  public var sent: Int { samples.count + (hasPending ? 1 : 0) }

  /// The last good answer.
  public var response: BindingProbe.Response? {
    for sample in samples.reversed() { if case .success(let response) = sample { return response } }
    return nil
  }

  /// Round trips of the good answers, in order.
  public var roundTrips: [UInt64] {
    samples.compactMap { sample in if case .success(let response) = sample { response.roundTrip } else { nil } }
  }

  /// What went wrong first, if nothing went right.
  public var verdict: CheckFailure? {
    if let failure { return failure }
    if response != nil { return nil }
    for sample in samples { if case .failure(let failure) = sample { return failure } }
    return nil
  }
}

public enum BindingCheck {
  /// Sends `count` Binding requests, `interval` milliseconds apart, and tells of each when it has ended. With a count
  /// above one a request is sent once only, so that loss can be counted. `stop` is asked every 50 ms at least; the
  /// request that waits then for its answer counts as sent and not as lost.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int = 1, interval: UInt32 = 1000,
    generator: inout SeededGenerator, stop: () -> Bool = { false },
    progress: (Int, Result<BindingProbe.Response, CheckFailure>) -> Void = { _, _ in }
  ) -> BindingReport {
    var report = BindingReport(target: target)
    do {
      var connection = try ClientConnection(
        options.connection(to: target), until: .read().advanced(byMilliseconds: options.timeout))
      report.localAddress = connection.localAddress
      report.connectDuration = connection.connectDuration
      report.handshakeDuration = connection.handshakeDuration
      report.tls = connection.tlsSummary
      var next = Instant.read()
      for index in 0..<max(count, 1) {
        while !stop(), Instant.read() < next { Readiness.sleep(until: min(next, .read().advanced(byMilliseconds: 50))) }
        if stop() { break }
        next = next.advanced(byMilliseconds: interval)
        var retransmission = options.effectiveRetransmission
        if count > 1 { retransmission.requestCount = 1 }
        guard let sample = probe(&connection, target, options, retransmission, &generator, stop) else {
          report.hasPending = true
          break
        }
        report.samples.append(sample)
        progress(index, sample)
        // A stream that broke stays broken.
        if case .failure = sample, target.transport.isStream { break }
      }
      connection.close()
      // Nothing is known then, and that is nothing good.
      if report.samples.isEmpty { report.failure = .interrupted(target) }
    } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      report.failure = CheckFailure(error, target, within: options.within)
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
        let due = min(deadline, .read().advanced(byMilliseconds: 50))
        if try connection.receive(until: due) {
          probe.receive(connection.message, now: .read())
        } else if due < deadline, stop() {
          return nil
        }
        // After every message: a flood of others must not keep the timers from running out.
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
