internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// A client's connection: TCP, or TLS over it. Output that the kernel does not accept at once waits in a bounded queue.
struct Connection: ~Copyable {
  enum Layer: Equatable {
    /// A proxy's connection with an incomplete header, whose bytes are in `partialFrame`.
    case proxyHeader
    /// A connection whose first byte, which shows plain STUN or TLS, has not arrived.
    case undecided
    case plain
    /// TLS with an incomplete ClientHello, whose bytes are in `partialFrame`.
    case hello
    /// TLS with the engine `tls`.
    case tls
  }

  let socket: StreamSocket
  private(set) var layer: Layer
  /// Nil while a handshake thread has the engine.
  var tls: TLSEngine?
  /// The handshake step that a handshake thread does with the engine.
  var job: HandshakeJob?
  /// Whether the loop does not watch the socket, because it became ready while the engine was away.
  var hasLeftLoop = false
  /// The number of handshake steps.
  var handshakeSteps = 0
  /// Whether its client has sent valid credentials.
  var isProven = false
  /// The bytes charged to strangers' memory.
  var charge = 0
  var path: ClientPath
  /// The beginning of an incomplete frame.
  var partialFrame = PooledBytes()
  /// Whether a STUN message has arrived. Before it ChannelData is impossible, and the connection is unauthenticated.
  var hasSpoken = false
  var outgoing = OutgoingFrames()
  /// Whether it is in the list of connections to flush at the end of the turn.
  var isDirty = false
  /// Whether the loop waits until it is writable.
  var waitsForRoom = false
  /// Whether reading is paused, because the last request waits for a budget.
  var isPaused = false
  /// The pipe of a data connection (RFC 6062).
  var pipe: PipeEnd?
  /// The move to another shard at the end of this turn.
  var move: Move?
  /// The time of the last received message.
  var lastHeard: Instant
  /// Whether bytes have been read or written since the last call of `rest`.
  var isBusy = true

  /// The address to which the client connected: ours, or for a proxied connection the one that the header names.
  private(set) var localAddress: IPAddress

  init(socket: consuming StreamSocket, path: ClientPath, isProxied: Bool = false, now: Instant) {
    localAddress = socket.local.address
    self.socket = socket
    self.path = path
    layer = isProxied ? .proxyHeader : .undecided
    tls = nil
    lastHeard = now
  }

  /// Whether its TLS handshake is not complete.
  var isShakingHands: Bool {
    mutating get { layer == .hello || layer == .tls && tls?.isEstablished != true }
  }

  /// Limit of handshake steps: two are usual, three with a HelloRetryRequest, more if a client sends in small parts.
  static let handshakeStepLimit = 24

  /// The resident memory, in bytes, of a connection and of a TLS engine in a handshake, measured with 10,000 of each.
  static let connectionByteCount = 1 << 10
  static let engineByteCount = 48 << 10

  /// The memory held for its client now.
  var heldByteCount: Int {
    Self.connectionByteCount + partialFrame.heldByteCount + outgoing.heldByteCount
      + (layer == .tls ? Self.engineByteCount : 0)
  }

  /// Whether its TLS has failed because more bytes arrived than could be decrypted.
  var hasOverflown: Bool {
    mutating get { tls?.failure?.cause == .limit }
  }

  /// The realm of a TLS client's server name.
  mutating func realm(by names: ServerNames) -> RealmID? {
    names.isEmpty ? nil : names.realm(of: tls?.requestedServerName ?? nil)
  }

  /// Ends the proxy's header, which may have named other addresses.
  mutating func endProxyHeader(_ path: ClientPath, localAddress: IPAddress) {
    layer = .undecided
    self.path = path
    self.localAddress = localAddress
  }

  /// Takes over another process's state of this connection.
  mutating func takeOver(_ record: ConnectionRecord, _ path: ClientPath) {
    if record.layer == .plain { layer = .plain }
    localAddress = record.localAddress
    hasSpoken = record.hasSpoken
    isProven = record.isProven
    self.path = path
  }

  mutating func decide(plain path: ClientPath) {
    layer = .plain
    self.path = path
  }

  mutating func decide(hello path: ClientPath) {
    layer = .hello
    self.path = path
  }

  /// Starts TLS after a complete ClientHello. A handshake thread makes the engine.
  mutating func beginTLS() { layer = .tls }

  /// Limits of waiting output, in bytes: beyond the first, the oldest media is dropped down to the second; if control
  /// messages reach the third, the connection is closed.
  static let mediaLimit = 128 << 10
  static let mediaTarget = 96 << 10
  static let controlLimit = 256 << 10
  /// The third limit for an unauthenticated client, whose answers have about 100 bytes.
  static let strangerLimit = 16 << 10

  enum QueueResult {
    case queued
    /// This number of the oldest media frames was dropped to make room.
    case dropped(Int)
    /// The limit of waiting messages is reached: the client does not read.
    case full
    /// The connection has failed.
    case failed
  }

  /// Queues one message for the client, in three pieces; `flush` writes it. A TLS connection's messages wait before
  /// encryption: dropping a message then costs nothing and leaves no gap in the records.
  mutating func queue(
    prefix: RawSpan, _ bytes: RawSpan, padding: Int, isMedia: Bool, _ pool: inout BlockPool
  ) -> QueueResult {
    guard layer != .undecided, layer != .proxyHeader else { return .failed }
    var dropped = 0
    let byteCount = prefix.byteCount + bytes.byteCount + padding
    if !isProven, !isMedia, outgoing.count + byteCount > Self.strangerLimit { return .full }
    if outgoing.count + byteCount > Self.mediaLimit, isMedia || outgoing.count + byteCount > Self.controlLimit {
      dropped = outgoing.dropOldestMedia(downTo: Self.mediaTarget - byteCount, &pool)
      if outgoing.count + byteCount > Self.mediaLimit, isMedia { return .dropped(dropped + 1) }
      if outgoing.count + byteCount > Self.controlLimit { return .full }
    }
    guard outgoing.append(prefix: prefix, bytes, padding: padding, &pool) else { return .failed }
    return dropped > 0 ? .dropped(dropped) : .queued
  }

  /// Called periodically: a connection without traffic releases the memory that it does not need.
  mutating func rest() {
    if !isBusy { tls?.releaseBuffers() }
    isBusy = false
  }

  /// Whether output waits for room in the kernel, and not for the next bytes of a TLS client: a socket that has room would
  /// make an event in every turn.
  var lacksRoom: Bool {
    mutating get { layer == .tls ? tls?.outputByteCount ?? 0 > 0 : !outgoing.isEmpty }
  }

  /// Writes waiting output until the kernel accepts no more; false if the connection is closed.
  mutating func flush(_ pool: inout BlockPool) -> Bool {
    isBusy = true
    guard layer == .tls else {
      while !outgoing.isEmpty {
        guard let written = socket.write(outgoing.bytes) else { return false }
        if written == 0 { return true }
        outgoing.consume(written, &pool)
      }
      return true
    }
    while true {
      // Output of TLS itself, such as a session ticket, leaves in one call with the first messages.
      var isEncrypted: Bool? = true
      if tls?.outputByteCount ?? 0 <= Self.ownOutputByteCount, !outgoing.isEmpty {
        isEncrypted = encryptMessages(&pool)
      }
      while let waiting = tls?.outputByteCount, waiting > 0 {
        guard let written = tls?.writeOutput(to: socket) ?? nil else { return false }
        if written == 0 { return true }
        tls?.consumeOutput(written)
      }
      // A failed engine's alert has been written.
      guard let isEncrypted else { return false }
      if outgoing.isEmpty || !isEncrypted { return true }
    }
  }

  /// Encrypts waiting messages up to the content of one record, so that little output waits as ciphertext. False if the
  /// handshake is not complete, whose progress leads here again; nil if the connection has failed.
  ///
  /// One record for each message, because some clients (coturn's) treat a record as one message and lose a second one in
  /// it. The records are still written in one call.
  private mutating func encryptMessages(_ pool: inout BlockPool) -> Bool? {
    var encrypted = 0
    repeat {
      let count = min(outgoing.firstByteCount, Self.recordByteCount)
      switch Self.encrypt(outgoing, count, with: &tls) {
      case .written: outgoing.consume(count, &pool)
      case .wouldBlock: return false
      case .failed, nil: return nil
      }
      encrypted += count
    } while encrypted < Self.recordByteCount && !outgoing.isEmpty
    return true
  }

  private static func encrypt(
    _ outgoing: borrowing OutgoingFrames, _ count: Int, with tls: inout TLSEngine?
  ) -> TLSEngine.WriteResult? {
    tls?.write(outgoing.bytes.extracting(0..<count))
  }

  /// Limit of waiting output to which messages are added before it is written.
  private static let ownOutputByteCount = 1 << 10
  /// The largest content of a TLS record.
  private static let recordByteCount = 16 << 10

  var waitingByteCount: Int {
    // The getter is mutating because Swift 6 cannot borrow an optional noncopyable value.
    mutating get { outgoing.count + (tls?.outputByteCount ?? 0) }
  }

  /// Writes the waiting output and close_notify, as far as the kernel accepts them at once.
  mutating func sayGoodbye(_ pool: inout BlockPool) {
    // Output that waits for the end of the turn is written first.
    guard flush(&pool) else { return }
    tls?.shutdown()
    _ = flush(&pool)
  }
}

extension TLSEngine {
  /// Writes the engine's output; nil if the connection is closed.
  mutating func writeOutput(to socket: borrowing StreamSocket) -> Int? { socket.write(output) }

  /// The same for a socket that another thread owns.
  mutating func writeOutput(to descriptor: Int32) -> Int? { StreamSocket.write(output, to: descriptor) }
}
