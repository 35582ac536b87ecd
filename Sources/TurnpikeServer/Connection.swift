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
  var partialFrame: [UInt8] = []
  /// Whether a STUN message has come: before that there can be no ChannelData, and the connection is a stranger's.
  var hasSpoken = false
  var outgoing = OutgoingBytes()
  /// Whether the loop waits for room to write.
  var waitsForRoom = false
  /// When it was last heard of.
  var lastHeard: Instant

  init(socket: consuming StreamSocket, path: ClientPath, now: Instant) {
    self.socket = socket
    self.path = path
    layer = .undecided
    tls = nil
    lastHeard = now
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

  /// How much may wait: media is dropped beyond the first limit, a connection that lets control messages pile up to
  /// the second is closed.
  static let mediaLimit = 128 << 10
  static let controlLimit = 256 << 10

  enum SendResult {
    case done
    /// Media that did not fit was dropped.
    case dropped
    /// The connection is gone, or takes nothing any more.
    case failed
  }

  /// Sends one message of the client's, whole or not at all.
  mutating func send(_ bytes: RawSpan, isMedia: Bool) -> SendResult {
    let waiting = waitingByteCount
    if isMedia, waiting > Self.mediaLimit { return .dropped }
    if waiting > Self.controlLimit { return .failed }
    switch layer {
    case .undecided:
      return .failed
    case .plain:
      var sent = 0
      if outgoing.isEmpty {
        guard let count = socket.write(bytes) else { return .failed }
        sent = count
      }
      if sent < bytes.byteCount { outgoing.append(bytes.extracting(sent..<bytes.byteCount)) }
      return .done
    case .tls:
      let result = tls?.write(bytes)
      guard flush() else { return .failed }
      switch result {
      case .written: return .done
      case .wouldBlock: return .dropped
      case .failed, nil: return .failed
      }
    }
  }

  /// Hands what waits to the kernel, as far as that takes it; false where the connection is gone.
  mutating func flush() -> Bool {
    while waitingByteCount > 0 {
      let written = layer == .tls ? tls?.writeOutput(to: socket) ?? nil : socket.write(outgoing.bytes)
      guard let written else { return false }
      if written == 0 { return true }
      if layer == .tls { tls?.consumeOutput(written) } else { outgoing.consume(written) }
    }
    return true
  }

  var waitingByteCount: Int {
    // Mutating only because an optional noncopyable value cannot be looked into otherwise yet.
    mutating get { layer == .tls ? tls?.outputByteCount ?? 0 : outgoing.count }
  }

  /// Says goodbye as the protocol has it, as far as the kernel takes it at once.
  mutating func sayGoodbye() {
    tls?.shutdown()
    _ = flush()
  }
}

/// Bytes that wait for room in the kernel's buffer, first in, first out.
struct OutgoingBytes {
  private var storage: [UInt8] = []
  private var head = 0

  var count: Int { storage.count - head }
  var isEmpty: Bool { count == 0 }

  var bytes: RawSpan {
    @_lifetime(borrow self)
    get { storage.span.rawBytes.extracting(head..<storage.count) }
  }

  mutating func append(_ bytes: RawSpan) {
    // What has been sent is cut off before it outgrows what waits, so a slow reader costs no more than twice the limit.
    if head > 0, head >= count {
      storage.removeFirst(head)
      head = 0
    }
    storage.append(contentsOf: bytes.copied())
  }

  mutating func consume(_ count: Int) {
    head += count
    // Memory of an idle connection is given back.
    if head >= storage.count {
      storage = []
      head = 0
    }
  }
}

extension TLSEngine {
  /// Hands the engine's output to the kernel; nil where the connection is gone.
  mutating func writeOutput(to socket: borrowing StreamSocket) -> Int? { socket.write(output) }
}
