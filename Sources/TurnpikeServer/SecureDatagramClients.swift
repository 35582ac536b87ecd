internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN
internal import Tables

/// The DTLS association of one client.
struct Association: ~Copyable {
  /// Nil while a handshake thread has the engine.
  var engine: DTLSEngine?
  /// The handshake step that a handshake thread does with the engine.
  var job: HandshakeJob?
  /// Datagrams that have arrived while a handshake thread has the engine.
  var waiting: [[UInt8]] = []
  /// The bytes of the datagrams that the handshake thread has.
  var lentByteCount = 0
  /// The size of OpenSSL's memory when the shard last had the engine.
  fileprivate var engineByteCount = 0
  var path: ClientPath
  var lastHeard: Instant
  /// Whether its client has sent valid credentials.
  var isProven = false
  /// The bytes charged to strangers' memory.
  var charge = 0
  fileprivate(set) var isEstablished = false
  let begunAt: Instant
  /// The number of datagrams before it was established.
  var handshakeDatagrams = 0
  /// The random bytes of the ClientHello: they identify a retransmission, which must not restart the handshake.
  let helloRandom: [UInt8]

  /// Limit of datagrams of a handshake: it needs five, or ten if each is sent twice.
  static let handshakeDatagramLimit = 12
  /// The longest datagram of a handshake, and the limit of datagrams that wait for the engine.
  static let longestHandshakeDatagram = 4096
  static let waitingLimit = 4
  /// `handshakeDatagramLimit` with client certificates: a Certificate message of 8 KiB has seven datagrams.
  static let certificateDatagramLimit = 32
  /// `waitingLimit` with client certificates.
  static let certificateWaitingLimit = 12
  /// The timeout of a handshake.
  static let handshakeTimeout = Duration.seconds(5)
  /// Whether the handshake is complete; nil while a handshake thread has the engine.
  var hasFinished: Bool? {
    mutating get { engine?.isEstablished }
  }

  /// The memory for its client: OpenSSL's, and that of datagrams that wait for the engine.
  var heldByteCount: Int {
    mutating get {
      if let present = engine?.heldByteCount { engineByteCount = present }
      return engineByteCount + lentByteCount + waitingByteCount
    }
  }

  private var waitingByteCount: Int { waiting.reduce(0) { $0 + $1.count } }

  /// Takes the datagrams for the handshake thread.
  mutating func lend() -> [[UInt8]] {
    lentByteCount = waitingByteCount
    defer { waiting = [] }
    return waiting
  }

  /// Whether a flight must be retransmitted now.
  var mustRetransmit: Bool {
    mutating get { engine?.timeout == .zero }
  }
}

/// The DTLS clients of one shard, and the engine that listens to clients without an association.
struct SecureDatagramClients: ~Copyable {
  private var associations = SlotMap<Association>()
  private var slots: [Client: Slot<Association>] = [:]
  /// Nil if the configuration excludes DTLS, or memory for the engine was missing.
  private var listening: DTLSEngine?
  private var context: TLSContext?
  private let cookieKey: HelloCookieKey
  /// Associations in a handshake, which may have to retransmit.
  private var handshakes: [Handle<Association>] = []
  /// The time of the next check for retransmissions; `.distantFuture` without handshakes.
  private(set) var nextTick = Instant.distantFuture
  /// Associations of unauthenticated clients.
  var strangers = FairQueue<Handle<Association>>()
  /// The memory that is charged for them.
  var charged = ChargedBytes()
  /// The unauthenticated associations that are in a handshake.
  private var unfinished = FairQueue<Handle<Association>>()

  /// Limit of associations of one shard; further clients get no answer.
  static let limit = 16_384
  /// Limits of handshakes, in all and from one address (IPv6: its /56). Beyond them the oldest handshake of the
  /// heaviest address, or of this address, is closed.
  static let unfinishedLimit = 384
  static let unfinishedPerAddress = 32
  /// The interval of checks for retransmissions.
  static let tick = Duration.milliseconds(250)

  struct Client: Hashable {
    var address: SocketAddress
    var endpoint: EndpointID

    init(_ path: ClientPath) {
      address = path.address
      endpoint = path.endpoint
    }

    /// The bytes of the address for the cookie.
    var bytes: [UInt8] {
      var result: [UInt8] = []
      func append(_ value: UInt64) {
        for shift in 0..<8 { result.append(UInt8(truncatingIfNeeded: value >> (8 * shift))) }
      }
      append(address.address.high)
      append(address.address.low)
      append(UInt64(address.port) | UInt64(endpoint.rawValue) << 16 | UInt64(address.scope) << 32)
      return result
    }
  }

  init(context: TLSContext?, cookieKey: HelloCookieKey) {
    self.cookieKey = cookieKey
    self.context = context
    listening = nil
    listenAnew()
  }

  // MARK: - Kinds of datagrams

  /// Whether a datagram's first byte is DTLS's (RFC 7983 section 7).
  @inline(__always)
  static func isSecure(_ bytes: RawSpan) -> Bool {
    bytes.byteCount > 0 && bytes.byte(at: 0) &- 20 < 44
  }

  /// Whether a datagram begins a handshake: an unencrypted ClientHello (RFC 6347 sections 4.1 and 4.2.2).
  static func isHello(_ bytes: RawSpan) -> Bool {
    bytes.byteCount > 13 && bytes.byte(at: 0) == 22 && bytes.byte(at: 3) == 0 && bytes.byte(at: 4) == 0
      && bytes.byte(at: 13) == 1
  }

  /// The random bytes of a ClientHello (RFC 6347 section 4.2.2: record, handshake header, version).
  static func helloRandom(_ bytes: RawSpan) -> [UInt8] {
    bytes.byteCount >= 59 ? bytes.extracting(27..<59).copied() : []
  }

  /// Whether a ClientHello returns a cookie (RFC 6347 section 4.2.2: it follows the session identifier). The cookie may
  /// be invalid.
  static func hasCookie(_ bytes: RawSpan) -> Bool {
    guard bytes.byteCount > 59 else { return false }
    let offset = 60 + Int(bytes.byte(at: 59))
    return offset < bytes.byteCount && bytes.byte(at: offset) > 0
  }

  // MARK: - Finding

  var count: Int { associations.count }

  subscript(slot: Slot<Association>) -> Association {
    _read { yield associations[slot] }
    _modify { yield &associations[slot] }
  }

  func find(_ client: Client) -> Slot<Association>? { slots[client] }

  func slot(of handle: Handle<Association>) -> Slot<Association>? { associations.slot(of: handle) }

  func handle(of slot: Slot<Association>) -> Handle<Association> { associations.handle(of: slot) }

  /// The clients of all associations.
  var clients: [Client] { Array(slots.keys) }

  /// The next association of a walk over all of them. Closing one may close others, which the walk skips.
  func next(_ walk: inout SlotWalk<Association>) -> Slot<Association>? { associations.next(&walk) }

  // MARK: - Handshakes

  /// The association to close before one more handshake of this address.
  func victim(for address: IPAddress) -> Handle<Association>? {
    if unfinished.count(of: address) >= Self.unfinishedPerAddress { return unfinished.oldest(of: address) }
    return unfinished.count >= Self.unfinishedLimit ? unfinished.heaviest : nil
  }

  mutating func setEstablished(_ slot: Slot<Association>) {
    associations[slot].isEstablished = true
    unfinished.remove(associations.handle(of: slot), from: associations[slot].path.address.address)
  }

  /// Uses a new certificate for new clients.
  mutating func useContext(_ context: TLSContext?) {
    self.context = context
    listenAnew()
  }

  /// Replaces the listening engine. Without memory for it, clients get no answer until the next attempt.
  private mutating func listenAnew() {
    listening = nil
    guard let context else { return }
    do throws(TLSError) { listening = try DTLSEngine(server: context, cookieKey: cookieKey) } catch { listening = nil }
  }

  /// Reads a datagram of a client without an association; `takeAnswers` may have an answer afterwards.
  mutating func listen(_ datagram: RawSpan, from client: Client, now: Instant) -> DTLSEngine.ListenResult {
    listening?.listen(datagram, from: client.bytes, at: now) ?? .ignored
  }

  /// The listening engine's answers.
  mutating func takeAnswers() -> [[UInt8]] {
    var answers: [[UInt8]] = []
    while let answer = listening?.takeDatagram() ?? nil { answers.append(answer) }
    return answers
  }

  /// Turns the listening engine, which has verified the client's cookie, into an association, and makes a new listening
  /// engine.
  mutating func adopt(_ path: ClientPath, helloRandom: [UInt8], now: Instant) -> Slot<Association>? {
    guard let engine = listening.take() else { return nil }
    let handle = associations.next
    let own = ClientPath(
      address: path.address, endpoint: path.endpoint, transport: .dtls, connection: Handle(sameAs: handle),
      realm: path.realm)
    let slot = associations.insert(
      Association(engine: engine, path: own, lastHeard: now, begunAt: now, helloRandom: helloRandom))
    unfinished.append(handle, from: path.address.address)
    strangers.append(handle, from: path.address.address)
    slots[Client(path)] = slot
    handshakes.append(handle)
    if nextTick == .distantFuture { nextTick = now.advanced(by: Self.tick) }
    listenAnew()
    return slot
  }

  /// Returns the associations in a handshake, and sets the time of the next check.
  mutating func takeHandshakes(now: Instant) -> [Handle<Association>] {
    var unfinished: [Handle<Association>] = []
    for handle in handshakes {
      guard let slot = associations.slot(of: handle), !associations[slot].isEstablished else { continue }
      unfinished.append(handle)
    }
    handshakes = unfinished
    nextTick = unfinished.isEmpty ? .distantFuture : now.advanced(by: Self.tick)
    return unfinished
  }

  /// Drops a client that has returned its cookie but cannot be served now.
  mutating func reject() { listenAnew() }

  mutating func remove(_ slot: Slot<Association>) {
    let path = associations[slot].path
    let handle = associations.handle(of: slot)
    if !associations[slot].isEstablished { unfinished.remove(handle, from: path.address.address) }
    if !associations[slot].isProven { strangers.remove(handle, from: path.address.address) }
    slots[Client(path)] = nil
    _ = associations.remove(slot)
  }
}
