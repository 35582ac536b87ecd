public import NetworkTypes

/// Numbered packets that are answered, or not: what was lost, came twice, came late or out of order, and how long the
/// answers took. Memory is bounded however long the series goes on.
public struct PacketSeries: Sendable {
  /// What an answer was.
  public enum Arrival: Hashable, Sendable {
    /// The first one to this packet, so many nanoseconds after it was sent.
    case answer(roundTrip: UInt64)
    /// The first one, and it is an error.
    case refusal
    case duplicate
    /// After the packet had been given up.
    case late
    /// To a packet that was never sent, or too long ago to be told from one.
    case unknown
  }

  public private(set) var sent = 0
  public private(set) var received = 0
  /// Packets that were answered with an error: neither received nor lost.
  public private(set) var refused = 0
  /// Packets given up.
  public private(set) var lost = 0
  public private(set) var duplicates = 0
  public private(set) var late = 0
  /// Answers that came behind that of a later packet.
  public private(set) var reordered = 0
  /// Nanoseconds, smoothed over 16 packets as RTP's interarrival jitter is (RFC 3550 section 6.4.1), of round trips.
  public var jitter: UInt64 { scaledJitter >> 4 }
  /// Over all answers.
  public private(set) var minimum = UInt64.max
  public private(set) var maximum: UInt64 = 0
  public private(set) var sum: UInt64 = 0

  private var scaledJitter: UInt64 = 0
  private var lastRoundTrip: UInt64?
  private var highestAnswered = -1
  /// Packets under way, and how the last ones ended.
  private var pending: [Int: Instant] = [:]
  private var oldestPending = 0
  private var ended: [Int: Bool] = [:]
  private var recent: [UInt64] = []
  private var oldestRecent = 0

  /// Packets that may be under way; the oldest one beyond is given up.
  public static let pendingLimit = 65_536
  /// Packets whose answer is recognised as a duplicate or late.
  private static let memory = 4096
  /// Round trips that the percentiles are of: the last so many.
  public static let roundTripLimit = 1 << 20

  public init() {}

  /// Packets under way.
  public var pendingCount: Int { pending.count }

  public var mean: UInt64 { received > 0 ? sum / UInt64(received) : 0 }

  /// Lost ones among those whose fate is known, in tenths of a percent; nil without any.
  public var lossPerMille: UInt64? { Self.lossPerMille(lost: lost, of: received + refused + lost) }

  /// Rounded up, so that a single lost packet is no nothing; 1000 only where all are lost. Nil of none.
  public static func lossPerMille(lost: Int, of count: Int) -> UInt64? {
    guard count > 0 else { return nil }
    let rounded = (lost * 1000 + count - 1) / count
    return UInt64(lost < count ? min(rounded, 999) : 1000)
  }

  /// The last round trips, in no order.
  public var roundTrips: [UInt64] { recent }

  /// The next packet is sent; its number, counted from 0.
  public mutating func send(at now: Instant) -> Int {
    if pending.count >= Self.pendingLimit { giveUpOldest() }
    let number = sent
    pending[number] = now
    sent += 1
    return number
  }

  /// An answer to packet `number` came.
  public mutating func receive(_ number: Int, at now: Instant) -> Arrival {
    guard let begin = pending.removeValue(forKey: number) else { return receiveAgain(number) }
    end(number, wasAnswered: true)
    let roundTrip = now.nanoseconds(since: begin)
    received += 1
    sum &+= roundTrip
    minimum = min(minimum, roundTrip)
    maximum = max(maximum, roundTrip)
    if number < highestAnswered { reordered += 1 }
    highestAnswered = max(highestAnswered, number)
    note(roundTrip)
    return .answer(roundTrip: roundTrip)
  }

  /// Takes an answer that is an error.
  public mutating func refuse(_ number: Int) -> Arrival {
    guard pending.removeValue(forKey: number) != nil else { return receiveAgain(number) }
    end(number, wasAnswered: true)
    refused += 1
    return .refusal
  }

  /// An answer to a packet that is no longer under way.
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

  /// Gives up what was sent before `instant`; the numbers, in order.
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

  /// When the oldest packet under way was sent; nil: none is.
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
    // Amortised: the table is cleared of what is too old once it has twice its size.
    if ended.count > 2 * Self.memory { ended = ended.filter { $0.key > number - Self.memory } }
  }

  private mutating func note(_ roundTrip: UInt64) {
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
