internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// A client's connection: TCP, or TLS over it. Bytes in, frames out; what the kernel does not take at once waits in a
/// bounded queue.
struct Connection: ~Copyable {
  enum Layer: Equatable {
    /// The first byte will tell plain from TLS.
    case undecided
    case plain
    /// Over `tls`.
    case tls
  }

  let socket: StreamSocket
  private(set) var layer: Layer
  var tls: TLSEngine?
  var path: ClientPath
  /// The beginning of a frame whose end has not come yet.
  var partialFrame = PooledBytes()
  /// Whether a STUN message has come: before that there can be no ChannelData, and the connection is a stranger's.
  var hasSpoken = false
  var outgoing = OutgoingFrames()
  /// Whether it is among those that are flushed at the end of the turn.
  var isDirty = false
  /// Whether the loop waits for room to write.
  var waitsForRoom = false
  /// What it is an end of, once it is a data connection (RFC 6062).
  var pipe: PipeEnd?
  /// That it leaves for another shard at the end of this turn.
  var move: Move?
  /// When it was last heard of.
  var lastHeard: Instant
  /// Whether anything has been read or written since `rest` was called last.
  var isBusy = true

  init(socket: consuming StreamSocket, path: ClientPath, now: Instant) {
    self.socket = socket
    self.path = path
    layer = .undecided
    tls = nil
    lastHeard = now
  }

  /// Whether its TLS is not there yet.
  var isShakingHands: Bool {
    mutating get { layer == .tls && tls?.isEstablished == false }
  }

  /// The realm of the name that a TLS client asked for.
  mutating func realm(by names: ServerNames) -> UInt8? {
    names.isEmpty ? nil : names.realm(of: tls?.requestedServerName ?? nil)
  }

  mutating func decide(plain path: ClientPath) {
    layer = .plain
    self.path = path
  }

  mutating func decide(tls engine: consuming TLSEngine, path: ClientPath) {
    layer = .tls
    tls = consume engine
    self.path = path
  }

  /// How much may wait: beyond the first limit the oldest media is dropped, down to the second; a connection that lets
  /// control messages pile up to the third is closed.
  static let mediaLimit = 128 << 10
  static let mediaTarget = 96 << 10
  static let controlLimit = 256 << 10

  enum QueueResult {
    case queued
    /// So many frames of media, the oldest, were dropped to make room.
    case dropped(Int)
    /// The connection takes nothing any more.
    case failed
  }

  /// Queues one message of the client's, in three pieces; `flush` writes it. What waits of a TLS connection waits
  /// before encryption: what is dropped then costs nothing and leaves no gap in the records.
  mutating func queue(
    prefix: RawSpan, _ bytes: RawSpan, padding: Int, isMedia: Bool, _ pool: inout BlockPool
  ) -> QueueResult {
    guard layer != .undecided else { return .failed }
    var dropped = 0
    let byteCount = prefix.byteCount + bytes.byteCount + padding
    if outgoing.count + byteCount > Self.mediaLimit, isMedia || outgoing.count + byteCount > Self.controlLimit {
      dropped = outgoing.dropOldestMedia(downTo: Self.mediaTarget - byteCount, &pool)
      if outgoing.count + byteCount > Self.mediaLimit, isMedia { return .dropped(dropped + 1) }
      if outgoing.count + byteCount > Self.controlLimit { return .failed }
    }
    guard outgoing.append(prefix: prefix, bytes, padding: padding, &pool) else { return .failed }
    return dropped > 0 ? .dropped(dropped) : .queued
  }

  /// Called now and then: one that has been quiet gives back what memory it can do without.
  mutating func rest() {
    if !isBusy { tls?.releaseBuffers() }
    isBusy = false
  }

  /// Hands what waits to the kernel, as far as that takes it; false where the connection is gone.
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
      // One record's worth at a time, so that little waits as ciphertext.
      while let waiting = tls?.outputByteCount, waiting > 0 {
        guard let written = tls?.writeOutput(to: socket) ?? nil else { return false }
        if written == 0 { return true }
        tls?.consumeOutput(written)
      }
      guard !outgoing.isEmpty else { return true }
      // A record for each message: clients that take a record for a message lose what shares one (coturn's do). They
      // are still written in one call.
      var encrypted = 0
      repeat {
        let count = min(outgoing.firstByteCount, Self.recordByteCount)
        switch Self.encrypt(outgoing, count, with: &tls) {
        case .written: outgoing.consume(count, &pool)
        // The handshake is not done: what it brings comes here again.
        case .wouldBlock: return true
        case .failed, nil: return false
        }
        encrypted += count
      } while encrypted < Self.recordByteCount && !outgoing.isEmpty
    }
  }

  private static func encrypt(
    _ outgoing: borrowing OutgoingFrames, _ count: Int, with tls: inout TLSEngine?
  ) -> TLSEngine.WriteResult? {
    tls?.write(outgoing.bytes.extracting(0..<count))
  }

  /// The most that one TLS record carries.
  private static let recordByteCount = 16 << 10

  var waitingByteCount: Int {
    // Mutating only because an optional noncopyable value cannot be looked into otherwise yet.
    mutating get { outgoing.count + (tls?.outputByteCount ?? 0) }
  }

  /// Says goodbye as the protocol has it, as far as the kernel takes it at once.
  mutating func sayGoodbye(_ pool: inout BlockPool) {
    // What waited for the end of the turn goes first.
    guard flush(&pool) else { return }
    tls?.shutdown()
    _ = flush(&pool)
  }
}

extension TLSEngine {
  /// Hands the engine's output to the kernel; nil where the connection is gone.
  mutating func writeOutput(to socket: borrowing StreamSocket) -> Int? { socket.write(output) }
}
