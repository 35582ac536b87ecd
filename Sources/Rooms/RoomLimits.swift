public import NetworkTypes

/// Limits of the resources that clients of the rooms use. Each limit says what happens beyond it.
public struct RoomLimits: Sendable, Equatable {
  /// Connections in all, whether they have joined a room or not; a further one is closed.
  public var connections = 256
  /// Rooms with members; a further room is refused.
  public var rooms = 64
  /// Members of one room; a further one is refused.
  public var members = 64
  /// The longest message; a connection that sends a longer one is closed.
  public var messageSize = ByteCount.kibibytes(64)
  /// Messages a second of one connection, on average; a faster connection is closed.
  public var messageRate = 50
  /// Messages that a connection may send at once.
  public var messageBurst = 300
  /// The rate of one connection, on average; a faster connection is closed. A message to all counts once for each
  /// receiver.
  public var rate = ByteRate(perSecond: .kibibytes(128))
  /// The bytes that a connection may send at once.
  public var burst = ByteCount.mebibytes(1)
  /// The time within which a connection must join a room; a slower one is closed.
  public var joinTimeout = Duration.seconds(10)
  /// The time without any message after which a member's connection is closed.
  public var silence = Duration.seconds(45)
  /// The time between two heartbeats, which the `welcome` message contains.
  public var heartbeat = Duration.seconds(15)

  public init() {}
}

/// The units that a connection may still send: a bucket that fills at a steady rate.
struct SendingBudget: Sendable {
  private var amount: Double
  private var last: Instant
  private let rate: Double
  private let capacity: Double

  /// - Parameter rate: units a second.
  init(rate: Int, burst: Int, now: Instant) {
    amount = Double(burst)
    capacity = Double(burst)
    self.rate = Double(rate)
    last = now
  }

  /// Takes units; false, without taking, if too few are left.
  mutating func take(_ count: Int, now: Instant) -> Bool {
    if now > last {
      amount = min(capacity, amount + now.duration(since: last).fractionalSeconds * rate)
      last = now
    }
    guard amount >= Double(count) else { return false }
    amount -= Double(count)
    return true
  }
}
