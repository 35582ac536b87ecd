public import Crypto
public import NetworkTypes
internal import STUN

/// One Binding request and its outcome (RFC 8489 sections 6 and 12).
///
/// After each `init`, `receive` and `advance`, send the bytes that `takeOutput` returns.
public struct BindingProbe: ~Copyable {
  /// The answer to a Binding request.
  public struct Response: Hashable, Sendable {
    /// Our address as the server sees it.
    public var mappedAddress: SocketAddress
    /// Whether the address came in XOR-MAPPED-ADDRESS; false: in MAPPED-ADDRESS of an old server, which some NATs
    /// rewrite.
    public var isXORMapped: Bool
    /// MAPPED-ADDRESS, if the response has both: NATs that rewrite addresses in messages change this one.
    public var plainMappedAddress: SocketAddress?
    /// SOFTWARE; nil if absent.
    public var software: String?
    public var hasFingerprint: Bool
    /// RFC 5780: the source of the response, and the server's other address.
    public var responseOrigin: SocketAddress?
    public var otherAddress: SocketAddress?
    /// The time from the last transmission of the request to the response.
    public var roundTrip: Duration
    /// Transmissions of the request; after more than one, `roundTrip` may belong to an earlier one.
    public var transmissions: Int

    public init(
      mappedAddress: SocketAddress, isXORMapped: Bool, plainMappedAddress: SocketAddress? = nil,
      software: String? = nil,
      hasFingerprint: Bool, responseOrigin: SocketAddress? = nil, otherAddress: SocketAddress? = nil,
      roundTrip: Duration, transmissions: Int
    ) {
      self.mappedAddress = mappedAddress
      self.isXORMapped = isXORMapped
      self.plainMappedAddress = plainMappedAddress
      self.software = software
      self.hasFingerprint = hasFingerprint
      self.responseOrigin = responseOrigin
      self.otherAddress = otherAddress
      self.roundTrip = roundTrip
      self.transmissions = transmissions
    }
  }

  /// Nil while the request is pending.
  public private(set) var outcome: Result<Response, RequestFailure>?
  private let request: [UInt8]
  private let transactionID: TransactionID
  private let demandsFingerprint: Bool
  private var retransmission: Retransmission
  private var lastSent: Instant
  private var hasOutput = true
  private var discarded: Discarded?

  /// The source address and port (CHANGE-REQUEST) and the destination port (RESPONSE-PORT) that the answer should have
  /// (RFC 5780 sections 7.2 and 7.5).
  public struct Detour: Hashable, Sendable {
    /// The flags of CHANGE-REQUEST.
    public var changesAddress = false
    public var changesPort = false
    /// RESPONSE-PORT; nil: not sent.
    public var responsePort: UInt16?

    public init(changesAddress: Bool = false, changesPort: Bool = false, responsePort: UInt16? = nil) {
      self.changesAddress = changesAddress
      self.changesPort = changesPort
      self.responsePort = responsePort
    }
  }

  /// Makes a request to send at `now`. Without `hasFingerprint` it has no FINGERPRINT, and a wrong FINGERPRINT in the
  /// answer is accepted, so that the caller receives the addresses that a gateway has changed.
  public init(
    isStream: Bool, detour: Detour = Detour(), hasFingerprint: Bool = true, settings: Retransmission.Settings = .init(),
    generator: inout SeededGenerator, now: Instant
  ) {
    transactionID = TransactionID(from: &generator)
    var writer = MessageWriter(capacity: 64)
    writer.begin(MessageType(.binding, .request), transactionID: transactionID)
    if detour.changesAddress || detour.changesPort {
      writer.append(.changeRequest, (detour.changesAddress ? 4 : 0) | (detour.changesPort ? 2 : 0) as UInt32)
    }
    if let port = detour.responsePort { writer.append(.responsePort, UInt32(port) << 16) }
    if hasFingerprint { writer.appendFingerprint() }
    demandsFingerprint = hasFingerprint
    request = writer.bytes.copied()
    retransmission = Retransmission(isStream: isStream, settings: settings, now: now)
    lastSent = now
  }

  /// The time of the next `advance`; nil after the outcome.
  public var deadline: Instant? { outcome == nil ? retransmission.deadline : nil }

  /// The request, if it must be sent now.
  public mutating func takeOutput() -> [UInt8]? {
    guard hasOutput, outcome == nil else { return nil }
    hasOutput = false
    return request
  }

  /// Retransmits the request, or gives it up, if its time has come.
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

  /// Receives a datagram, or one message of a stream. Messages other than the answer are dropped; a later timeout has
  /// the reason of the last drop.
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
    if demandsFingerprint, Fingerprint.verify(message) == false {
      discarded = .wrongFingerprint
      return
    }
    switch message.type.messageClass {
    case .success:
      outcome = Self.read(
        message, roundTrip: now.duration(since: lastSent), transmissions: retransmission.transmissions)
    case .error: outcome = .failure(RequestFailure(response: message, isAuthenticated: true))
    case .request, .indication: discarded = .unexpected
    }
  }

  /// Reads a success response to a Binding request.
  static func read(
    _ message: borrowing MessageView, roundTrip: Duration, transmissions: Int
  ) -> Result<Response, RequestFailure> {
    do {
      let xorMapped = try message.xorAddress(.xorMappedAddress)
      let plainMapped = try message.plainAddress(.mappedAddress)
      guard let mapped = xorMapped ?? plainMapped else {
        return .failure(.malformed("the response has no XOR-MAPPED-ADDRESS"))
      }
      if (0..<message.unknownRequiredCount).contains(where: { !Classic.all.contains(message.unknownRequired[$0]) }) {
        return .failure(.malformed("the response has an unknown comprehension-required attribute"))
      }
      return .success(
        Response(
          mappedAddress: mapped, isXORMapped: xorMapped != nil, plainMappedAddress: plainMapped,
          software: message.text(.software),
          hasFingerprint: message.has(.fingerprint), responseOrigin: try message.plainAddress(.responseOrigin),
          otherAddress: try message.plainAddress(.otherAddress) ?? Classic.changedAddress(of: message),
          roundTrip: roundTrip, transmissions: transmissions))
    } catch {
      return .failure(.malformed("an address in the response has the wrong form"))
    }
  }
}

/// Attributes in answers of RFC 3489 servers (section 11.2).
private enum Classic {
  /// SOURCE-ADDRESS, CHANGED-ADDRESS, REFLECTED-FROM.
  static let all: Set<UInt16> = [0x0004, 0x0005, 0x000B]

  /// CHANGED-ADDRESS has the meaning of today's OTHER-ADDRESS.
  static func changedAddress(of message: borrowing MessageView) throws(DecodingError) -> SocketAddress? {
    guard let range = message.nextRange(of: AttributeType(rawValue: 0x0005), from: 0) else { return nil }
    return try plainAddress(message.bytes.extracting(range))
  }
}

extension TransactionID {
  /// A random transaction ID.
  init(from generator: inout SeededGenerator) {
    self.init(high: UInt32(truncatingIfNeeded: generator.next()), low: generator.next())
  }
}

extension MessageView {
  /// An attribute's value as text; bytes that are not UTF-8 are replaced. Nil if the attribute is absent.
  func text(_ attribute: AttributeType) -> String? {
    guard let value = value(of: attribute) else { return nil }
    // Some old servers include the terminating NUL of a C string and padding in the value.
    let bytes = value.copied()
    return String(decoding: bytes[..<((bytes.lastIndex { $0 != 0 } ?? -1) + 1)], as: UTF8.self)
  }
}

extension RequestFailure {
  /// The content of an error response. One without a readable ERROR-CODE is malformed.
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
