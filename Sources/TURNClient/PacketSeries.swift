public import NetworkTypes

/// Counts numbered packets and their answers: lost, duplicate, late and reordered ones, and round trips. Memory is
/// bounded, however long the series is.
public struct PacketSeries: Sendable {
  /// The kind of an answer.
  public enum Arrival: Hashable, Sendable {
    /// The first answer to this packet.
    case answer(roundTrip: Duration)
    /// The first answer to this packet; it is an error.
    case refusal
    case duplicate
    /// An answer after the packet was given up.
    case late
    /// An answer to a packet that was never sent, or sent too long ago to remember.
    case unknown
  }

  /// Packets sent, and packets with a good answer in time.
  public private(set) var sent = 0
  public private(set) var received = 0
  /// Packets answered with an error: neither received nor lost.
  public private(set) var refused = 0
  /// Packets given up.
  public private(set) var lost = 0
  /// Further answers to packets that were answered before.
  public private(set) var duplicates = 0
  /// Answers to packets that were given up before.
  public private(set) var late = 0
  /// Answers that came after the answer of a later packet.
  public private(set) var reordered = 0
  /// The jitter of round trips, smoothed over 16 packets like RTP's interarrival jitter (RFC 3550
  /// section 6.4.1).
  public var jitter: Duration { .nanoseconds(scaledJitter >> 4) }
  /// The shortest and longest round trip of all answers; nil without answers.
  public private(set) var minimum: Duration?
  public private(set) var maximum: Duration?

  /// The sum of all round trips, in nanoseconds like the numbers below.
  private var sum: UInt64 = 0
  private var scaledJitter: UInt64 = 0
  private var lastRoundTrip: UInt64?
  private var highestAnswered = -1
  /// Pending packets, and the results of the last ended ones.
  private var pending: [Int: Instant] = [:]
  private var oldestPending = 0
  private var ended: [Int: Bool] = [:]
  private var recent: [UInt64] = []
  private var oldestRecent = 0

  /// Limit of pending packets; beyond it the oldest one is given up.
  public static let pendingLimit = 65_536
  /// Number of ended packets whose further answers are recognised as duplicate or late.
  private static let memory = 4096
  /// Number of last round trips that are kept for percentiles.
  public static let roundTripLimit = 1 << 20

  public init() {}

  /// The number of pending packets.
  public var pendingCount: Int { pending.count }

  /// The mean round trip; nil without answers.
  public var mean: Duration? { received > 0 ? .nanoseconds(sum / UInt64(received)) : nil }

  /// The lost share of ended packets, in tenths of a percent; nil if none has ended.
  public var lossPerMille: UInt64? { Self.lossPerMille(lost: lost, of: received + refused + lost) }

  /// The lost share in tenths of a percent, rounded up, so that one lost packet never shows as 0; 1000 only if all are
  /// lost. Nil without packets.
  public static func lossPerMille(lost: Int, of count: Int) -> UInt64? {
    guard count > 0 else { return nil }
    let rounded = (lost * 1000 + count - 1) / count
    return UInt64(lost < count ? min(rounded, 999) : 1000)
  }

  /// The last round trips, unordered.
  public var roundTrips: [Duration] { recent.map { .nanoseconds($0) } }

  /// Records that the next packet is sent; returns its number, from 0.
  public mutating func send(at now: Instant) -> Int {
    if pending.count >= Self.pendingLimit { giveUpOldest() }
    let number = sent
    pending[number] = now
    sent += 1
    return number
  }

  /// Records an answer to packet `number`.
  public mutating func receive(_ number: Int, at now: Instant) -> Arrival {
    guard let begin = pending.removeValue(forKey: number) else { return receiveAgain(number) }
    end(number, wasAnswered: true)
    let roundTrip = now.nanoseconds(since: begin)
    received += 1
    sum &+= roundTrip
    let duration = Duration.nanoseconds(roundTrip)
    minimum = min(minimum ?? duration, duration)
    maximum = max(maximum ?? duration, duration)
    if number < highestAnswered { reordered += 1 }
    highestAnswered = max(highestAnswered, number)
    record(roundTrip)
    return .answer(roundTrip: duration)
  }

  /// Records an error as the answer.
  public mutating func refuse(_ number: Int) -> Arrival {
    guard pending.removeValue(forKey: number) != nil else { return receiveAgain(number) }
    end(number, wasAnswered: true)
    refused += 1
    return .refusal
  }

  /// Classifies an answer to a packet that is no longer pending.
  private mutating func receiveAgain(_ number: Int) -> Arrival {
    switch ended[number] {
    case nil: return .unknown
    case true?:
      duplicates += 1
      return .duplicate
    case false?:
      late += 1
      return .late
    }
  }

  /// Gives up packets sent before `instant`; returns their numbers in order.
  public mutating func giveUp(sentBefore instant: Instant) -> [Int] {
    var given: [Int] = []
    while oldestPending < sent {
      if let begin = pending[oldestPending] {
        guard begin < instant else { break }
        given.append(oldestPending)
        giveUpOldest()
      } else {
        oldestPending += 1
      }
    }
    return given
  }

  /// The time when the oldest pending packet was sent; nil if none is pending.
  public mutating func oldestSent() -> Instant? {
    while oldestPending < sent {
      if let begin = pending[oldestPending] { return begin }
      oldestPending += 1
    }
    return nil
  }

  private mutating func giveUpOldest() {
    while oldestPending < sent {
      let number = oldestPending
      oldestPending += 1
      guard pending.removeValue(forKey: number) != nil else { continue }
      lost += 1
      end(number, wasAnswered: false)
      return
    }
  }

  private mutating func end(_ number: Int, wasAnswered: Bool) {
    ended[number] = wasAnswered
    // Old entries are removed when the table has twice its size: constant time on average.
    if ended.count > 2 * Self.memory { ended = ended.filter { $0.key > number - Self.memory } }
  }

  private mutating func record(_ roundTrip: UInt64) {
    if let last = lastRoundTrip {
      let difference = roundTrip > last ? roundTrip - last : last - roundTrip
      // J += (|D| - J) / 16, scaled by 16.
      scaledJitter = scaledJitter &- (scaledJitter >> 4) &+ difference
    }
    lastRoundTrip = roundTrip
    if recent.count < Self.roundTripLimit {
      recent.append(roundTrip)
    } else {
      recent[oldestRecent] = roundTrip
      oldestRecent = (oldestRecent + 1) % Self.roundTripLimit
    }
  }
}
