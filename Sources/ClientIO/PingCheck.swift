public import Crypto
internal import NetIO
public import NetworkTypes
public import TLS
public import TURNClient

/// What a long series of Binding requests showed.
public struct PingReport: Sendable {
  public var target: ServerTarget
  public var localAddress: SocketAddress?
  public var mappedAddress: SocketAddress?
  public var connectDuration: UInt64 = 0
  public var handshakeDuration: UInt64 = 0
  public var tls: TLSConnectionSummary?
  public var series = PacketSeries()
  /// How often our mapped address changed.
  public var remappings = 0
  /// What the last one of those answers was that are no good ones.
  public var refusal: CheckFailure?
  public var failure: CheckFailure?

  public var verdict: CheckFailure? { failure }
}

public enum PingCheck {
  /// What happens during a series.
  public enum Event: Sendable {
    case answer(number: Int, roundTrip: UInt64)
    /// An error response, or a success without what it must have.
    case refused(number: Int, CheckFailure)
    case duplicate(number: Int)
    case late(number: Int)
    case lost(number: Int)
  }

  /// Sends Binding requests every `interval` milliseconds, `count` of them (nil: for ever), until `stop` says so. An
  /// answer is waited for as long as `options.timeout`.
  ///
  /// `stop` is asked every 50 ms at least.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int?, interval: UInt32,
    generator: inout SeededGenerator, stop: () -> Bool = { false },
    progress: (Event, borrowing PingRequests) -> Void = { _, _ in }
  ) -> PingReport {
    var report = PingReport(target: target)
    var requests = PingRequests(seed: generator.next())
    var passing: ConnectionFailure?
    do {
      var connection = try ClientConnection(
        options.connection(to: target), until: .read().advanced(byMilliseconds: options.timeout))
      report.localAddress = connection.localAddress
      report.connectDuration = connection.connectDuration
      report.handshakeDuration = connection.handshakeDuration
      report.tls = connection.tlsSummary
      try exchange(&connection, &requests, &passing, target, options, count, interval, stop, progress)
      connection.close()
    } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      report.failure = CheckFailure(error, target, within: options.within)
    }
    report.series = requests.series
    report.mappedAddress = requests.mappedAddress
    report.remappings = requests.remappings
    if report.failure == nil, requests.series.sent == 0 { report.failure = .interrupted(target) }
    if report.failure == nil, requests.series.received == 0 {
      let silence = "\(target.address) over \(target.transport.label): no answer to \(requests.series.sent) requests"
      report.failure =
        passing.map { CheckFailure($0, target, within: options.within) }
        ?? CheckFailure(.timeout, silence, advice: CheckFailure.silenceAdvice(target.transport))
    }
    report.refusal = requests.refusal.map { CheckFailure($0, "Binding", target, options) }
    if requests.series.received == 0, let refusal = report.refusal { report.failure = refusal }
    return report
  }

  private static func exchange(
    _ connection: inout ClientConnection, _ requests: inout PingRequests, _ passing: inout ConnectionFailure?,
    _ target: ServerTarget, _ options: CheckOptions, _ count: Int?, _ interval: UInt32, _ stop: () -> Bool,
    _ progress: (Event, borrowing PingRequests) -> Void
  ) throws(ConnectionFailure) {
    let limit = count ?? .max
    var next = Instant.read()
    while !stop() {
      let now = Instant.read()
      if now >= next, requests.series.sent < limit {
        let request = requests.next(at: now).request
        try sendForgivingly(request, over: &connection, &passing, until: now.advanced(byMilliseconds: options.timeout))
        next = max(next.advanced(byMilliseconds: interval), now)
        continue
      }
      if let given = expired(&requests, options, now) {
        for number in given { progress(.lost(number: number), requests) }
      }
      if requests.series.sent >= limit, requests.series.pendingCount == 0 { return }
      var due = now.advanced(byMilliseconds: stopInterval)
      if requests.series.sent < limit { due = min(due, next) }
      if let oldest = requests.oldestSent() { due = min(due, oldest.advanced(byMilliseconds: options.timeout)) }
      guard try receiveForgivingly(&connection, &passing, until: due) else { continue }
      if let event = take(connection, &requests, target, options) { progress(event, requests) }
    }
  }

  /// How often it is asked whether the user wants to stop, in milliseconds.
  private static let stopInterval: UInt32 = 50

  private static func expired(_ requests: inout PingRequests, _ options: CheckOptions, _ now: Instant) -> [Int]? {
    let timeout = UInt64(options.timeout) * 1_000_000
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

  // A server that is down for a while is what a ping is to show: ICMP errors over UDP end nothing, the loss is counted.

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
