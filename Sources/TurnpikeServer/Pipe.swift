internal import NetIO
internal import NetworkTypes
internal import TURN

/// A peer's TCP connection, and once it is bound the client's connection that it is one pipe with (RFC 6062).
///
/// What comes from one side is written to the other at once. What that does not take waits here, at most one reading,
/// and nothing more is read meanwhile: the kernel's windows carry the back-pressure to whoever sends. Before it is bound
/// nothing is read at all, so what a peer says first waits in the kernel, bounded by its window.
struct Pipe: ~Copyable {
  enum State {
    case connecting
    case unbound
    case bound
  }

  /// The relay's name for it.
  let id: RecordID
  let socket: StreamSocket
  var state: State
  /// The client's connection, by place and tenant.
  var client: (index: Int, generation: UInt32) = (-1, 0)
  /// What the peer's socket did not take yet.
  var toPeer = PooledBytes()
  /// The side has said that it sends nothing more.
  var peerHasEnded = false
  var clientHasEnded = false
  /// That has been passed on.
  var peerIsTold = false
  var clientIsTold = false
  /// Nothing more is read from the side before that: the allocation's bandwidth is used up.
  var readsPeerFrom = Instant(nanoseconds: 0)
  var readsClientFrom = Instant(nanoseconds: 0)
  /// Whether it is among those that wait for bandwidth.
  var isThrottled = false
  /// When bytes have moved last.
  var lastMoved: Instant
  /// What the loop waits for at the peer's socket.
  var interest = Interest()

  init(id: RecordID, socket: consuming StreamSocket, state: State, now: Instant) {
    self.id = id
    self.socket = socket
    self.state = state
    lastMoved = now
  }

  /// The most that is read at one time, and so the most that waits in one direction. Where there are many pipes it is
  /// less: however many stand still, the shard's memory for them is bounded (256 MiB at the limit).
  static func readingByteCount(among count: Int) -> Int {
    switch count {
    case ...512: 64 << 10
    case ...4096: 16 << 10
    default: 8 << 10
    }
  }

  /// Pipes of one shard.
  static let limit = 16_384
  /// How long one direction may go on in silence once the other has ended, in nanoseconds.
  static let halfOpenPatience: UInt64 = 120 * 1_000_000_000
}

/// What the loop waits for at a descriptor of a pipe. One that nothing is waited for at is taken out of the loop: an
/// end that nobody reads yet would wake the loop for ever.
struct Interest: Equatable {
  var isRegistered = false
  var reads = false
  var writes = false
}

/// All TCP relaying of one shard.
struct TCPRelays: ~Copyable {
  var listeners = Places<StreamListener>()
  /// The relay's name for each listener, by place.
  var listenerIDs: [RecordID] = []
  var placeOfListener: [RecordID: Int] = [:]
  var pipes = Places<Pipe>()
  var placeOfPipe: [RecordID: Int] = [:]
  /// Listeners that rest because there were no descriptors.
  var resting: [RecordID] = []
  /// Pipes that wait for bandwidth, and when the first of them may go on.
  var throttled: [RecordID] = []
  var nextResume: Instant?
}

extension Connection {
  /// What a data connection has to do with its pipe.
  struct PipeEnd {
    var place: Int
    /// The answer to ConnectionBind is still to be sent; after it nothing but the peer's bytes may be.
    var awaitsAnswer = true
    var interest: Interest
  }
}
