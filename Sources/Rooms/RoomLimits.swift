/// What the clients of the rooms can use up. Each limit says what happens beyond it.
public struct RoomLimits: Sendable, Equatable {
  /// Connections in all, whether they have joined a room or not; a further one is closed.
  public var connections = 256
  /// Rooms with members; a further room is refused.
  public var rooms = 64
  /// Members of one room; a further one is refused.
  public var members = 64
  /// Bytes of one message; the sender of a longer one is closed.
  public var messageSize = 65_536
  /// Messages a second of one connection, over the long run; a faster sender is closed.
  public var messageRate = 50
  /// Messages that a connection may send at once.
  public var messageBurst = 300
  /// Bytes a second of one connection, over the long run; a faster sender is closed. A message to all counts once for
  /// each receiver.
  public var byteRate = 131_072
  /// Bytes that a connection may send at once.
  public var byteBurst = 1_048_576
  /// Seconds within which a connection must join a room; a slower one is closed.
  public var joinSeconds: UInt32 = 10
  /// Seconds without any message after which a member is closed.
  public var silenceSeconds: UInt32 = 45
  /// Seconds between two heartbeats, which clients are told.
  public var heartbeat: UInt32 = 15

  public init() {}
}

/// What a connection may still send: a bucket that fills at a steady rate.
struct SendingBudget: Sendable {
  private var amount: Double
  private var last: UInt64
  private let rate: Double
  private let capacity: Double

  /// - Parameters:
  ///   - rate: units a second.
  ///   - now: nanoseconds.
  init(rate: Int, burst: Int, now: UInt64) {
    amount = Double(burst)
    capacity = Double(burst)
    self.rate = Double(rate)
    last = now
  }

  /// Whether there is enough left; takes it.
  mutating func take(_ count: Int, now: UInt64) -> Bool {
    if now > last {
      amount = min(capacity, amount + Double(now - last) / 1e9 * rate)
      last = now
    }
    guard amount >= Double(count) else { return false }
    amount -= Double(count)
    return true
  }
}
