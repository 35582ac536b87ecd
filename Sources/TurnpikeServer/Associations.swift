internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// One client's DTLS.
struct Association: ~Copyable {
  var engine: DTLSEngine
  var path: ClientPath
  var lastHeard: Instant
  var isEstablished = false
  let begunAt: Instant
  /// Datagrams that have come before it was established.
  var handshakeDatagrams = 0
  /// The random bytes of the hello that it began with: the same one again begins nothing.
  let helloRandom: [UInt8]

  /// A handshake takes a dozen, with everything sent twice.
  static let handshakeDatagramLimit = 64
  static let handshakePatience: UInt64 = 30 * 1_000_000_000
}

/// A shard's DTLS associations, and the engine that listens to everybody who has none.
struct Associations: ~Copyable {
  var places = Places<Association>()
  private var placesOfClients: [Client: Int] = [:]
  /// Nil where DTLS is not to be had.
  private(set) var listening: DTLSEngine?
  private var context: TLSContext?
  private let cookieKey: [UInt8]
  /// Associations whose handshake is going on, each of which may have to send something again.
  private var handshakes: [RecordID] = []
  var nextTick = Instant.distantFuture

  /// Of one shard; the next is not answered.
  static let limit = 16_384
  /// Of those, how many may be shaking hands, in all and from one address (IPv6: its /64).
  static let unfinishedLimit = 1024
  static let unfinishedPerAddress = 32
  private(set) var unfinishedCount = 0
  private var unfinishedOfAddress: [IPAddress: Int] = [:]

  struct Client: Hashable {
    var address: SocketAddress
    var endpoint: EndpointID

    init(_ path: ClientPath) {
      address = path.address
      endpoint = path.endpoint
    }

    /// For the cookie.
    var bytes: [UInt8] {
      var result: [UInt8] = []
      func append(_ value: UInt64) { for shift in 0..<8 { result.append(UInt8(truncatingIfNeeded: value >> (8 * shift))) } }
      append(address.address.high)
      append(address.address.low)
      append(UInt64(address.port) | UInt64(endpoint.rawValue) << 16 | UInt64(address.scope) << 32)
      return result
    }
  }

  init(context: TLSContext?, cookieKey: [UInt8]) {
    self.cookieKey = cookieKey
    self.context = context
    listening = nil
    listenAnew()
  }

  /// Whether a datagram's first byte says DTLS (RFC 7983 section 7).
  @inline(__always)
  static func isSecure(_ bytes: RawSpan) -> Bool {
    bytes.byteCount > 0 && bytes.byte(at: 0) &- 20 < 44
  }

  /// Whether a datagram begins a handshake: a ClientHello that nothing encrypts (RFC 6347 section 4.1 and 4.2.2).
  static func isHello(_ bytes: RawSpan) -> Bool {
    bytes.byteCount > 13 && bytes.byte(at: 0) == 22 && bytes.byte(at: 3) == 0 && bytes.byte(at: 4) == 0
      && bytes.byte(at: 13) == 1
  }

  /// The random bytes of a hello (RFC 6347 section 4.2.2: record, handshake header, version).
  static func helloRandom(_ bytes: RawSpan) -> [UInt8] {
    bytes.byteCount >= 59 ? bytes.extracting(27..<59).copied() : []
  }

  /// Whether one more handshake with this address may begin.
  func hasRoom(for address: IPAddress) -> Bool {
    unfinishedCount < Self.unfinishedLimit
      && unfinishedOfAddress[address.accountable, default: 0] < Self.unfinishedPerAddress
  }

  /// A handshake is done, or will never be.
  private mutating func countFinished(_ address: IPAddress) {
    unfinishedCount -= 1
    let left = (unfinishedOfAddress[address.accountable] ?? 1) - 1
    unfinishedOfAddress[address.accountable] = left > 0 ? left : nil
  }

  mutating func noteEstablished(_ index: Int) {
    places[index].isEstablished = true
    countFinished(places[index].path.address.address)
  }

  /// A new certificate: for those who come from now on.
  mutating func useContext(_ context: TLSContext?) {
    self.context = context
    listenAnew()
  }

  private mutating func listenAnew() {
    listening = nil
    // Without memory for it there is no DTLS until the next one is tried.
    guard let context else { return }
    do throws(TLSError) { listening = try DTLSEngine(server: context, cookieKey: cookieKey) } catch { listening = nil }
  }

  var count: Int { places.count }

  func find(_ client: Client) -> Int? { placesOfClients[client] }

  /// Looks at a stranger's datagram; the listening engine's output may hold an answer afterwards.
  mutating func listen(_ datagram: RawSpan, from client: Client, now: Instant) -> DTLSEngine.ListenResult {
    listening?.listen(datagram, from: client.bytes, at: now.nanoseconds / 1_000_000_000) ?? .ignored
  }

  /// What the listening engine has to say to the stranger.
  mutating func takeAnswers() -> [[UInt8]] {
    var answers: [[UInt8]] = []
    while let answer = listening?.takeDatagram() ?? nil { answers.append(answer) }
    return answers
  }

  /// The listening engine becomes the client's, and another one listens.
  mutating func adopt(_ path: ClientPath, helloRandom: [UInt8], now: Instant) -> Int? {
    guard let engine = listening.take() else { return nil }
    let next = places.next
    let id = RecordID(index: UInt32(next.index), generation: next.generation)
    let own = ClientPath(
      address: path.address, endpoint: path.endpoint, transport: .dtls, connection: id, realm: path.realm)
    let place = places.insert(
      Association(engine: engine, path: own, lastHeard: now, begunAt: now, helloRandom: helloRandom))
    unfinishedCount += 1
    unfinishedOfAddress[path.address.address.accountable, default: 0] += 1
    placesOfClients[Client(path)] = place.index
    handshakes.append(id)
    listenAnew()
    return place.index
  }

  /// The associations whose handshake is going on still.
  mutating func takeHandshakes() -> [RecordID] {
    var going: [RecordID] = []
    for id in handshakes
    where places.isTaken(Int(id.index), generation: id.generation) && !places[Int(id.index)].isEstablished {
      going.append(id)
    }
    handshakes = going
    return going
  }

  /// Somebody was verified who cannot be served now.
  mutating func turnAway() { listenAnew() }

  mutating func remove(_ index: Int) {
    if !places[index].isEstablished { countFinished(places[index].path.address.address) }
    placesOfClients[Client(places[index].path)] = nil
    _ = places.remove(index)
  }
}
