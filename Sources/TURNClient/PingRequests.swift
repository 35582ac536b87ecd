internal import Crypto
public import NetworkTypes
internal import STUN

/// Binding requests one after another, without waiting for the answer before: each is sent once, so that loss,
/// duplicates and order can be seen.
public struct PingRequests: ~Copyable {
  public private(set) var series = PacketSeries()
  /// What the server said last: our address as it sees it, and why an answer was none: an error, or a success without
  /// what it must have.
  public private(set) var mappedAddress: SocketAddress?
  public private(set) var refusal: RequestFailure?
  /// Datagrams that were no answer to any request of ours.
  public private(set) var strays = 0
  /// How often the mapped address has become another one.
  public private(set) var remappings = 0

  /// All transactions of a series begin alike; the rest is the packet's number.
  private let prefix: UInt32
  private let mask: UInt64
  private var writer = MessageWriter(capacity: 64)

  public init(seed: UInt64) {
    prefix = UInt32(truncatingIfNeeded: seed >> 32)
    // Spread over all bits, so that a transaction can't be guessed from another.
    mask = seed &* 0x9E37_79B9_7F4A_7C15
  }

  /// Writes the next request; its number.
  public mutating func next(at now: Instant) -> (number: Int, request: [UInt8]) {
    let number = series.send(at: now)
    writer.begin(
      MessageType(.binding, .request), transactionID: TransactionID(high: prefix, low: UInt64(number) ^ mask))
    writer.appendFingerprint()
    return (number, writer.bytes.copied())
  }

  /// Takes a datagram, or one message of a stream: which packet it answers, and what the answer was.
  public mutating func receive(_ bytes: RawSpan, at now: Instant) -> (number: Int, arrival: PacketSeries.Arrival)? {
    let message: MessageView
    do { message = try MessageView(bytes) } catch {
      strays += 1
      return nil
    }
    let isResponse = message.type.messageClass == .success || message.type.messageClass == .error
    guard isResponse, message.type.method == .binding, message.transactionID.high == prefix,
      Fingerprint.verify(message) != false, let number = Int(exactly: message.transactionID.low ^ mask),
      number < series.sent
    else {
      strays += 1
      return nil
    }
    if message.type.messageClass == .error {
      return refuse(number, RequestFailure(response: message, isAuthenticated: true))
    }
    switch BindingProbe.read(message, roundTrip: 0, transmissions: 1) {
    case .success(let response):
      if let before = mappedAddress, before != response.mappedAddress { remappings += 1 }
      mappedAddress = response.mappedAddress
      return (number, series.receive(number, at: now))
    case .failure(let failure): return refuse(number, failure)
    }
  }

  private mutating func refuse(_ number: Int, _ failure: RequestFailure) -> (Int, PacketSeries.Arrival) {
    refusal = failure
    return (number, series.refuse(number))
  }

  /// Gives up what was sent before `instant`.
  public mutating func giveUp(sentBefore instant: Instant) -> [Int] { series.giveUp(sentBefore: instant) }

  /// When the oldest request under way was sent.
  public mutating func oldestSent() -> Instant? { series.oldestSent() }
}
