public import STUN
internal import Tables

/// The counters of one shard, for metrics.
public struct RelayCounters: Sendable {
  /// Dropped datagrams and frames, by the raw value of `DropCause`.
  public var drops = InlineArray<32, UInt64>(repeating: 0)
  /// Success responses to Binding.
  public var bindings: UInt64 = 0
  /// STUN requests with a correct format.
  public var requests: UInt64 = 0
  /// Error responses except challenges.
  public var errors: UInt64 = 0
  /// Responses 401 and 438, which have a nonce.
  public var challenges: UInt64 = 0
  public var allocationsMade: UInt64 = 0
  /// Data that was relayed to peers.
  public var toPeers = TrafficCount()
  /// Data that was relayed to clients.
  public var toClients = TrafficCount()
  /// RTP packets from clients and peers.
  public var fromClients = PacketLoss()
  public var fromPeers = PacketLoss()
  public var answers = AnswerCounts()
  /// Failed logins, by the index of `AuthenticationFailure.Reason`.
  public var failedLogins = InlineArray<3, UInt64>(repeating: 0)

  public init() {}

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    for index in drops.indices { try coder.code(&drops[index]) }
    try coder.code(&bindings)
    try coder.code(&requests)
    try coder.code(&errors)
    try coder.code(&challenges)
    try coder.code(&allocationsMade)
    try toPeers.code(with: &coder)
    try toClients.code(with: &coder)
    try coder.code(&fromClients.packets)
    try coder.code(&fromClients.lost)
    try coder.code(&fromPeers.packets)
    try coder.code(&fromPeers.lost)
    try answers.code(with: &coder)
    for index in failedLogins.indices { try coder.code(&failedLogins[index]) }
  }

  mutating func count(_ cause: DropCause) { drops[Int(cause.rawValue)] &+= 1 }

  public func drops(_ cause: DropCause) -> UInt64 { drops[Int(cause.rawValue)] }

  public func failedLogins(_ reason: AuthenticationFailure.Reason) -> UInt64 { failedLogins[reason.index] }
}

/// RTP packets that have arrived and that were lost before the relay.
public struct PacketLoss: Sendable, Equatable, BitwiseCopyable {
  public var packets: UInt64 = 0
  public var lost: UInt64 = 0

  public init() {}

  @inline(__always)
  mutating func add(_ change: PathQuality.Change) {
    packets &+= UInt64(change.packets)
    lost &+= UInt64(change.lost)
  }

  public mutating func add(_ other: PacketLoss) {
    packets &+= other.packets
    lost &+= other.lost
  }
}

/// The number of responses by method and error code.
public struct AnswerCounts: Sendable {
  /// The methods that have responses.
  public static let methods: [Method] = [
    .binding, .allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind,
  ]
  /// Success, then the error codes that this server sends, in ascending order.
  public static let codes: [ErrorCode?] = [
    nil, .tryAlternate, .badRequest, .unauthenticated, .forbidden, .mobilityForbidden, .unknownAttribute,
    .allocationMismatch, .staleNonce, .addressFamilyNotSupported, .wrongCredentials, .unsupportedTransportProtocol,
    .peerAddressFamilyMismatch, .connectionAlreadyExists, .connectionTimeoutOrFailure, .allocationQuotaReached,
    .serverError, .insufficientCapacity,
  ]

  /// Seven methods of eighteen codes each.
  private var counts = InlineArray<126, UInt64>(repeating: 0)

  public init() {}

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    for index in counts.indices { try coder.code(&counts[index]) }
  }

  /// - Parameter code: nil for a success response.
  public subscript(method: Method, code: ErrorCode?) -> UInt64 {
    Self.index(method, code).map { counts[$0] } ?? 0
  }

  mutating func count(_ method: Method, _ code: ErrorCode?) {
    if let index = Self.index(method, code) { counts[index] &+= 1 }
  }

  private static func index(_ method: Method, _ code: ErrorCode?) -> Int? {
    guard let row = methodIndex(method), let column = codeIndex(code) else { return nil }
    return row * 18 + column
  }

  // These are switches, because a search in an array would take longer than the rest of an answer to Binding.
  private static func methodIndex(_ method: Method) -> Int? {
    switch method {
    case .binding: 0
    case .allocate: 1
    case .refresh: 2
    case .createPermission: 3
    case .channelBind: 4
    case .connect: 5
    case .connectionBind: 6
    default: nil
    }
  }

  private static func codeIndex(_ code: ErrorCode?) -> Int? {
    switch code?.rawValue {
    case nil: 0
    case 300: 1
    case 400: 2
    case 401: 3
    case 403: 4
    case 405: 5
    case 420: 6
    case 437: 7
    case 438: 8
    case 440: 9
    case 441: 10
    case 442: 11
    case 443: 12
    case 446: 13
    case 447: 14
    case 486: 15
    case 500: 16
    case 508: 17
    default: nil
    }
  }
}

extension Relay {
  /// Begins a success response, and counts it.
  mutating func beginSuccess(_ method: Method, _ transactionID: TransactionID) {
    counters.answers.count(method, nil)
    writer.begin(MessageType(method, .success), transactionID: transactionID)
  }
}
