internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// A peer's TCP connection and, when it is bound, the client's connection (RFC 6062).
///
/// Bytes from one side are written to the other at once. Bytes that the other side does not accept wait in a queue, at
/// most those of one read, and reading pauses meanwhile: so TCP's window slows the sender down. Before the pipe is
/// bound nothing is read: the peer's first bytes wait in the kernel, limited by the window.
struct Pipe: ~Copyable {
  enum State {
    case connecting
    case unbound
    case bound
  }

  /// The relay's handle of the peer connection.
  let id: Handle<PeerConnection>
  let socket: StreamSocket
  var state: State
  /// The client's connection; nil before it is bound.
  var client: Handle<Connection>?
  /// Bytes that the peer's socket has not accepted yet.
  var toPeer = PooledBytes()
  /// Whether the side has ended its direction.
  var peerHasEnded = false
  var clientHasEnded = false
  /// Whether the end of the other side has been passed on to this side.
  var peerIsTold = false
  var clientIsTold = false
  /// The time before which this side is not read, because bandwidth is used up.
  var readsPeerFrom = Instant(nanoseconds: 0)
  var readsClientFrom = Instant(nanoseconds: 0)
  /// Whether it is in the list of pipes that wait for bandwidth.
  var isThrottled = false
  /// The time at which bytes were last relayed.
  var lastMoved: Instant
  /// The loop's interest in the peer's socket.
  var interest = Interest()

  init(id: Handle<PeerConnection>, socket: consuming StreamSocket, state: State, now: Instant) {
    self.id = id
    self.socket = socket
    self.state = state
    lastMoved = now
  }

  /// The size of one read, and so the limit of waiting bytes in one direction. It is smaller with many pipes, so that a
  /// shard's memory for stopped pipes is bounded (256 MiB at the limit).
  static func readingByteCount(among count: Int) -> Int {
    switch count {
    case ...512: 64 << 10
    case ...4096: 16 << 10
    default: 8 << 10
    }
  }

  /// Limit of pipes of one shard.
  static let limit = 16_384
  /// The longest silence of one direction after the end of the other.
  static let halfOpenTimeout = Duration.seconds(120)
}

/// The loop's interest in a descriptor of a pipe. A descriptor without interest is removed from the loop: otherwise the
/// unread end of a stream would wake the loop repeatedly.
struct Interest: Equatable {
  var isRegistered = false
  var reads = false
  var writes = false
}

extension Connection {
  /// The pipe of a data connection.
  struct PipeEnd {
    var pipe: Handle<Pipe>
    /// Whether the answer to ConnectionBind has not been queued yet; after it only the peer's bytes may be sent.
    var awaitsAnswer = true
    var interest: Interest
  }
}
