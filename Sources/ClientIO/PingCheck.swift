public import Crypto
internal import NetIO
public import NetworkTypes
internal import System
public import TLS
public import TURNClient

/// The result of a long series of Binding requests.
public struct PingReport: ConnectionReport, Sendable {
  public var target: ServerTarget
  public var localAddress: SocketAddress?
  /// The mapped address of the last answer.
  public var mappedAddress: SocketAddress?
  /// The duration of the TCP connection's setup; zero over UDP and DTLS.
  public var connectDuration = Duration.zero
  /// The duration of the TLS or DTLS handshake; zero without one.
  public var handshakeDuration = Duration.zero
  public var tls: TLSConnectionSummary?
  public var series = PacketSeries()
  /// The number of changes of our mapped address.
  public var remappings = 0
  /// The last answer that was not a success.
  public var refusal: CheckFailure?
  /// The reason why the series ended early or has no good answer; or a fault of the mapped addresses.
  public var failure: CheckFailure?
  /// Warnings.
  public var complaints: [CheckFailure] = []

  public var verdict: CheckFailure? { failure }
}

/// Sends Binding requests at an interval without waiting for answers.
public enum PingCheck {
  /// An event of a series.
  public enum Event: Sendable {
    case answer(number: Int, roundTrip: Duration)
    /// An error response, or a success without a mapped address.
    case refused(number: Int, CheckFailure)
    case duplicate(number: Int)
    case late(number: Int)
    case lost(number: Int)
  }

  /// Sends `count` Binding requests (nil: endlessly), `interval` apart, until `stop` returns true. A request is lost
  /// after `options.timeout`.
  ///
  /// `stop` is called every 50 ms at least.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int?, interval: Duration,
    generator: inout SeededGenerator, stop: () -> Bool = { false },
    progress: (Event, borrowing PingRequests) -> Void = { _, _ in }
  ) -> PingReport {
    var report = PingReport(target: target)
    var requests = PingRequests(seed: generator.next())
    var passing: ConnectionFailure?
    do {
      var connection = try options.connect(to: target)
      report.describe(connection)
      try exchange(&connection, &requests, &passing, target, options, count, interval, stop, progress)
      connection.close()
    } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      report.failure = CheckFailure(error, target, within: options.within)
    }
    report.take(requests, passing, options)
    report.refusal = requests.refusal.map { CheckFailure($0, "Binding", target, options) }
    if requests.series.received == 0, let refusal = report.refusal { report.failure = refusal }
    if requests.series.received == 0, requests.series.sent > 0 {
      report.failure?.lookAround(target, options, isHurried: stop(), &generator)
    }
    for address in requests.mappedAddresses {
      let found = AddressCheck.mapped(address, local: report.localAddress, server: target.address)
      guard let found else { continue }
      if found.isFatal { report.failure = report.failure ?? found.failure } else { report.complaints = [found.failure] }
    }
    return report
  }

  private static func exchange(
    _ connection: inout ClientConnection, _ requests: inout PingRequests, _ passing: inout ConnectionFailure?,
    _ target: ServerTarget, _ options: CheckOptions, _ count: Int?, _ interval: Duration, _ stop: () -> Bool,
    _ progress: (Event, borrowing PingRequests) -> Void
  ) throws(ConnectionFailure) {
    let limit = count ?? .max
    var next = Instant.read()
    while !stop() {
      let now = Instant.read()
      if now >= next, requests.series.sent < limit {
        let request = requests.next(at: now).request
        try sendForgivingly(request, over: &connection, &passing, until: now.advanced(by: options.timeout))
        next = max(next.advanced(by: interval), now)
        continue
      }
      if let given = expired(&requests, options, now) {
        for number in given { progress(.lost(number: number), requests) }
      }
      if requests.series.sent >= limit, requests.series.pendingCount == 0 { return }
      var due = now.advanced(by: stopInterval)
      if requests.series.sent < limit { due = min(due, next) }
      if let oldest = requests.oldestSent() { due = min(due, oldest.advanced(by: options.timeout)) }
      guard try receiveForgivingly(&connection, &passing, until: due) else { continue }
      if let event = take(connection, &requests, target, options) { progress(event, requests) }
    }
  }

  /// The interval at which `stop` is called.
  private static let stopInterval = Duration.milliseconds(50)

  private static func expired(_ requests: inout PingRequests, _ options: CheckOptions, _ now: Instant) -> [Int]? {
    let timeout = options.timeout.wholeNanoseconds
    guard now.nanoseconds >= timeout else { return nil }
    return requests.giveUp(sentBefore: Instant(nanoseconds: now.nanoseconds - timeout + 1))
  }

  private static func take(
    _ connection: borrowing ClientConnection, _ requests: inout PingRequests, _ target: ServerTarget,
    _ options: CheckOptions
  ) -> Event? {
    let message = connection.message
    guard let (number, arrival) = requests.receive(message, at: .read()) else { return nil }
    switch arrival {
    case .answer(let roundTrip): return .answer(number: number, roundTrip: roundTrip)
    case .refusal:
      return requests.refusal.map { .refused(number: number, CheckFailure($0, "Binding", target, options)) }
    case .duplicate: return .duplicate(number: number)
    case .late: return .late(number: number)
    case .unknown: return nil
    }
  }

  // A series continues while the server is down: ICMP errors over UDP count as loss.

  private static func sendForgivingly(
    _ request: [UInt8], over connection: inout ClientConnection, _ passing: inout ConnectionFailure?,
    until deadline: Instant
  ) throws(ConnectionFailure) {
    do { try connection.send(request, until: deadline) } catch {
      guard error.isPassing(over: connection.transport) else { throw error }
      passing = error
    }
  }

  private static func receiveForgivingly(
    _ connection: inout ClientConnection, _ passing: inout ConnectionFailure?, until deadline: Instant
  ) throws(ConnectionFailure) -> Bool {
    do { return try connection.receive(until: deadline) } catch {
      guard error.isPassing(over: connection.transport) else { throw error }
      passing = error
      return false
    }
  }
}

extension PingReport {
  /// Copies the counts of the requests; a series without a sent request or without an answer also gets a failure.
  fileprivate mutating func take(
    _ requests: borrowing PingRequests, _ passing: ConnectionFailure?, _ options: CheckOptions
  ) {
    series = requests.series
    mappedAddress = requests.mappedAddress
    remappings = requests.remappings
    guard failure == nil else { return }
    if series.sent == 0 {
      failure = .interrupted(target)
    } else if series.received == 0 {
      let silence = "\(target.address) over \(target.transport.label): no answer to \(series.sent) requests"
      failure =
        passing.map { CheckFailure($0, target, within: options.within) }
        ?? CheckFailure(.timeout, silence, advice: CheckFailure.silenceAdvice(target.transport))
    }
  }
}
