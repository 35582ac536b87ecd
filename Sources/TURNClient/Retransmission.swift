public import NetworkTypes

/// The timer of a request: when to retransmit it and when to give it up (RFC 8489 sections 6.2.1 and 6.2.2).
///
/// Over UDP and DTLS a request is sent at once, then after 1, 2, 4, … times the RTO, `requestCount` times in all, and
/// given up `lastWait` RTOs after the last. With the defaults: sent at 0, 500, 1500, 3500, 7500, 15,500 and 31,500 ms,
/// given up at 39,500 ms. Over TCP and TLS it is sent once, and given up after the same time.
public struct Retransmission: Sendable {
  /// The parameters of RFC 8489 section 6.2.
  public struct Settings: Hashable, Sendable {
    /// RTO.
    public var initialTimeout = Duration.milliseconds(500)
    /// Rc.
    public var requestCount = 7
    /// Rm.
    public var lastWait: UInt32 = 16
    /// Ti: the timeout of a request over a stream.
    public var streamTimeout = Duration.milliseconds(39_500)
    /// Upper limit of every timeout; nil: none.
    public var limit: Duration?

    public init() {}
  }

  /// The caller's next action.
  public enum Action: Hashable, Sendable {
    case wait
    case send
    case giveUp
  }

  /// The time of the next `advance`.
  public private(set) var deadline: Instant
  /// The number of transmissions, including the first.
  public private(set) var transmissions = 1

  private let settings: Settings
  private let isStream: Bool
  private let end: Instant
  private var interval: Duration

  /// Starts the timer of a request that is sent now for the first time.
  public init(isStream: Bool, settings: Settings, now: Instant) {
    self.settings = settings
    self.isStream = isStream
    // An RTO of at most a minute; this also prevents an overflow when it is doubled.
    interval = min(max(settings.initialTimeout, .milliseconds(1)), .seconds(60))
    end = settings.limit.map { now.advanced(by: $0) } ?? .distantFuture
    deadline = now
    deadline = min(next(after: now), end)
  }

  /// The action at this time: `.wait` before `deadline`.
  public mutating func advance(to now: Instant) -> Action {
    guard now >= deadline else { return .wait }
    if isStream || transmissions >= settings.requestCount || now >= end { return .giveUp }
    transmissions += 1
    interval = min(interval * 2, .seconds(64))
    deadline = min(next(after: now), end)
    return .send
  }

  private func next(after now: Instant) -> Instant {
    if isStream { return now.advanced(by: settings.streamTimeout) }
    if transmissions >= settings.requestCount {
      return now.advanced(
        by: min(max(settings.initialTimeout, .milliseconds(1)), .seconds(86_400)) * Int(settings.lastWait))
    }
    return now.advanced(by: interval)
  }
}
