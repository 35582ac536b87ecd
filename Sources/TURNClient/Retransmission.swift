public import NetworkTypes

/// When a request is sent again and when it is given up (RFC 8489 sections 6.2.1 and 6.2.2).
///
/// Over UDP and DTLS: at once, then after 1, 2, 4, … times the RTO, `requestCount` times in all, and given up
/// `lastWait` RTOs after the last. With the defaults: at 0, 500, 1500, 3500, 7500, 15,500 and 31,500 ms, given up at
/// 39,500 ms. Over TCP and TLS: once, given up after the same time.
public struct Retransmission: Sendable {
  public struct Settings: Hashable, Sendable {
    /// RTO in milliseconds.
    public var initialTimeout: UInt32 = 500
    /// Rc.
    public var requestCount = 7
    /// Rm.
    public var lastWait: UInt32 = 16
    /// Ti, in milliseconds: how long a request over a stream is waited for.
    public var streamTimeout: UInt32 = 39_500
    /// Nothing is waited for longer than this many milliseconds, whatever the others say; nil: no such bound.
    public var limit: UInt32?

    public init() {}
  }

  public enum Action: Hashable, Sendable {
    case wait
    case send
    case giveUp
  }

  /// When `advance` has something to do again.
  public private(set) var deadline: Instant
  /// How often the request has been sent, the first time included.
  public private(set) var transmissions = 1

  private let settings: Settings
  private let isStream: Bool
  private let end: Instant
  private var interval: UInt32

  /// For a request that is sent now for the first time.
  public init(isStream: Bool, settings: Settings, now: Instant) {
    self.settings = settings
    self.isStream = isStream
    // Beyond a minute between two attempts nobody waits any more; it also keeps the doubling in range.
    interval = min(max(settings.initialTimeout, 1), 60_000)
    end = settings.limit.map { now.advanced(byMilliseconds: $0) } ?? .distantFuture
    deadline = now
    deadline = min(next(after: now), end)
  }

  public mutating func advance(to now: Instant) -> Action {
    guard now >= deadline else { return .wait }
    if isStream || transmissions >= settings.requestCount || now >= end { return .giveUp }
    transmissions += 1
    interval = interval > 32_000 ? 64_000 : interval * 2
    deadline = min(next(after: now), end)
    return .send
  }

  private func next(after now: Instant) -> Instant {
    if isStream { return now.advanced(byMilliseconds: settings.streamTimeout) }
    if transmissions >= settings.requestCount {
      let (wait, overflow) = max(settings.initialTimeout, 1).multipliedReportingOverflow(by: settings.lastWait)
      return now.advanced(byMilliseconds: overflow ? .max : wait)
    }
    return now.advanced(byMilliseconds: interval)
  }
}
