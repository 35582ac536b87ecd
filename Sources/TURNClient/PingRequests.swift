internal import Crypto
public import NetworkTypes
internal import STUN

/// A series of Binding requests that does not wait for answers. Each is sent once, so that loss, duplicates and order
/// can be counted.
public struct PingRequests: ~Copyable {
  /// The counts of requests and answers.
  public private(set) var series = PacketSeries()
  /// The mapped address of the last answer.
  public private(set) var mappedAddress: SocketAddress?
  /// The different mapped addresses, at most `addressLimit`, in the order of their first answers.
  public private(set) var mappedAddresses: [SocketAddress] = []
  /// The last answer that was an error, or a success without a mapped address.
  public private(set) var refusal: RequestFailure?
  /// Datagrams that answer none of our requests.
  public private(set) var strays = 0
  /// The number of changes of the mapped address.
  public private(set) var remappings = 0

  /// A transaction ID consists of the series' prefix and the masked packet number.
  private let prefix: UInt32
  private let mask: UInt64
  private var writer = MessageWriter(capacity: 64)

  /// Limit of kept mapped addresses.
  private static let addressLimit = 64

  public init(seed: UInt64) {
    prefix = UInt32(truncatingIfNeeded: seed >> 32)
    // Spreads the seed over all bits, so that an attacker cannot guess a transaction ID from another.
    mask = seed &* 0x9E37_79B9_7F4A_7C15
  }

  /// Writes the next request and returns its number.
  public mutating func next(at now: Instant) -> (number: Int, request: [UInt8]) {
    let number = series.send(at: now)
    writer.begin(
      MessageType(.binding, .request), transactionID: TransactionID(high: prefix, low: UInt64(number) ^ mask))
    writer.appendFingerprint()
    return (number, writer.bytes.copied())
  }

  /// Receives a datagram, or one message of a stream; returns the number of the answered packet and the kind of answer.
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
    switch BindingProbe.read(message, roundTrip: .zero, transmissions: 1) {
    case .success(let response):
      if let before = mappedAddress, before != response.mappedAddress { remappings += 1 }
      mappedAddress = response.mappedAddress
      if mappedAddresses.count < Self.addressLimit, !mappedAddresses.contains(response.mappedAddress) {
        mappedAddresses.append(response.mappedAddress)
      }
      return (number, series.receive(number, at: now))
    case .failure(let failure): return refuse(number, failure)
    }
  }

  private mutating func refuse(_ number: Int, _ failure: RequestFailure) -> (Int, PacketSeries.Arrival) {
    refusal = failure
    return (number, series.refuse(number))
  }

  /// Gives up requests sent before `instant`.
  public mutating func giveUp(sentBefore instant: Instant) -> [Int] { series.giveUp(sentBefore: instant) }

  /// The time when the oldest pending request was sent.
  public mutating func oldestSent() -> Instant? { series.oldestSent() }
}
