public import Crypto
public import NetworkTypes
internal import STUN

/// One Binding request and what comes of it (RFC 8489 sections 6 and 12).
///
/// Drain before you feed: after `init`, `receive` and `advance`, send what `takeOutput` returns.
public struct BindingProbe: ~Copyable {
  /// What a server said to a Binding request.
  public struct Response: Hashable, Sendable {
    /// Our address as the server sees it.
    public var mappedAddress: SocketAddress
    /// Whether it came in XOR-MAPPED-ADDRESS; false: an old server's MAPPED-ADDRESS, which some NATs rewrite.
    public var isXORMapped: Bool
    public var software: String?
    public var hasFingerprint: Bool
    /// RFC 5780: where the response came from, and the server's other address.
    public var responseOrigin: SocketAddress?
    public var otherAddress: SocketAddress?
    /// Nanoseconds from the last transmission of the request to the response.
    public var roundTrip: UInt64
    /// How often the request was sent; more than once, and `roundTrip` may be that of an earlier one.
    public var transmissions: Int
  }

  public private(set) var outcome: Result<Response, RequestFailure>?
  private let request: [UInt8]
  private let transactionID: TransactionID
  private var retransmission: Retransmission
  private var lastSent: Instant
  private var hasOutput = true
  private var discarded: Discarded?

  /// A request to be sent at `now`.
  public init(
    isStream: Bool, settings: Retransmission.Settings = .init(), generator: inout SeededGenerator, now: Instant
  ) {
    transactionID = TransactionID(from: &generator)
    var writer = MessageWriter(capacity: 64)
    writer.begin(MessageType(.binding, .request), transactionID: transactionID)
    writer.appendFingerprint()
    request = writer.bytes.copied()
    retransmission = Retransmission(isStream: isStream, settings: settings, now: now)
    lastSent = now
  }

  /// When `advance` is due; nil once there is an outcome.
  public var deadline: Instant? { outcome == nil ? retransmission.deadline : nil }

  /// The request, if it is to be sent now.
  public mutating func takeOutput() -> [UInt8]? {
    guard hasOutput, outcome == nil else { return nil }
    hasOutput = false
    return request
  }

  public mutating func advance(to now: Instant) {
    guard outcome == nil else { return }
    switch retransmission.advance(to: now) {
    case .wait: break
    case .send:
      hasOutput = true
      lastSent = now
    case .giveUp:
      outcome = .failure(.timeout(transmissions: retransmission.transmissions, discarded: discarded))
    }
  }

  /// Takes a datagram, or one message of a stream. What is not the answer is dropped and remembered.
  public mutating func receive(_ bytes: RawSpan, now: Instant) {
    guard outcome == nil else { return }
    let message: MessageView
    do { message = try MessageView(bytes) } catch {
      discarded = .notSTUN
      return
    }
    guard message.transactionID == transactionID, message.type.method == .binding else {
      discarded = .unknownTransaction
      return
    }
    if Fingerprint.verify(message) == false {
      discarded = .wrongFingerprint
      return
    }
    switch message.type.messageClass {
    case .success: outcome = read(message, now: now)
    case .error: outcome = .failure(RequestFailure(response: message, isAuthenticated: true))
    case .request, .indication: discarded = .unexpected
    }
  }

  private func read(_ message: borrowing MessageView, now: Instant) -> Result<Response, RequestFailure> {
    do {
      let xorMapped = try message.xorAddress(.xorMappedAddress)
      guard let mapped = try xorMapped ?? message.plainAddress(.mappedAddress) else {
        return .failure(.malformed("the response has no XOR-MAPPED-ADDRESS"))
      }
      if message.unknownRequiredCount > 0 {
        return .failure(.malformed("the response has an attribute that must be understood and is not"))
      }
      return .success(
        Response(
          mappedAddress: mapped, isXORMapped: xorMapped != nil, software: message.text(.software),
          hasFingerprint: message.has(.fingerprint), responseOrigin: try message.plainAddress(.responseOrigin),
          otherAddress: try message.plainAddress(.otherAddress), roundTrip: now.nanoseconds(since: lastSent),
          transmissions: retransmission.transmissions))
    } catch {
      return .failure(.malformed("an address in the response has the wrong form"))
    }
  }
}

extension TransactionID {
  /// A random one.
  init(from generator: inout SeededGenerator) {
    self.init(high: UInt32(truncatingIfNeeded: generator.next()), low: generator.next())
  }
}

extension MessageView {
  /// An attribute's value as text, with what is no UTF-8 replaced; nil where there is none.
  func text(_ attribute: AttributeType) -> String? {
    guard let value = value(of: attribute) else { return nil }
    return String(decoding: value.copied(), as: UTF8.self)
  }
}

extension RequestFailure {
  /// What an error response says. One without a readable ERROR-CODE is malformed.
  init(response: borrowing MessageView, isAuthenticated: Bool) {
    do {
      guard let error = try response.errorCode() else {
        self = .malformed("an error response without ERROR-CODE")
        return
      }
      let alternate = try response.plainAddress(.alternateServer)
      self = .refused(
        error.code, phrase: error.reason, alternateServer: alternate, isAuthenticated: isAuthenticated)
    } catch {
      self = .malformed("an error response whose attributes have the wrong form")
    }
  }
}
