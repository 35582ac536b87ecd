internal import NetworkTypes
internal import Synchronization
internal import System
internal import TLS
internal import Tables

/// One step of a TLS or DTLS handshake: an engine that a shard sends to a handshake thread for public-key operations,
/// and that returns through the shard's mailbox.
final class HandshakeJob: Sendable, Equatable {
  enum Target {
    case connection(Handle<Connection>)
    case association(Handle<Association>)
  }

  /// The connection or association that waits for the engine.
  let target: Target
  let client: IPAddress
  private let answers: Mailbox<ShardMessage>
  private let stream: Mutex<TLSEngine?>
  private let datagram: Mutex<DTLSEngine?>
  /// Datagrams that DTLS must read first, in order.
  private let datagrams: [[UInt8]]
  /// The complete ClientHello of a connection that has no engine yet.
  private let hello: [UInt8]
  /// The context of that connection's engine.
  private let context: TLSContext?
  private let isAbandoned = Atomic(false)

  /// - Parameter engine: the engine with its received bytes.
  init(_ target: Handle<Connection>, _ client: IPAddress, _ engine: consuming TLSEngine, answers: Mailbox<ShardMessage>)
  {
    self.target = .connection(target)
    self.client = client
    self.answers = answers
    stream = Mutex(engine)
    datagram = Mutex(nil)
    datagrams = []
    hello = []
    context = nil
  }

  /// The first step of a connection, which also makes the engine.
  ///
  /// - Parameter hello: the connection's first bytes, a complete ClientHello.
  init(
    _ target: Handle<Connection>, _ client: IPAddress, _ context: TLSContext, hello: [UInt8],
    answers: Mailbox<ShardMessage>
  ) {
    self.target = .connection(target)
    self.client = client
    self.answers = answers
    stream = Mutex(nil)
    datagram = Mutex(nil)
    datagrams = []
    self.hello = hello
    self.context = context
  }

  init(
    _ target: Handle<Association>, _ client: IPAddress, _ engine: consuming DTLSEngine, datagrams: [[UInt8]],
    answers: Mailbox<ShardMessage>
  ) {
    self.target = .association(target)
    self.client = client
    self.answers = answers
    stream = Mutex(nil)
    datagram = Mutex(engine)
    self.datagrams = datagrams
    hello = []
    context = nil
  }

  static func == (one: HandshakeJob, other: HandshakeJob) -> Bool { one === other }

  /// Takes the engine, once; nil if the job was refused.
  func takeStreamEngine() -> TLSEngine? { stream.withLock { $0.take() } }
  func takeDatagramEngine() -> DTLSEngine? { datagram.withLock { $0.take() } }

  /// Marks the client as gone: a job that has not begun is skipped.
  func abandon() { isAbandoned.store(true, ordering: .relaxed) }

  /// Continues the handshake with the received bytes, and sends the engine back.
  func run() {
    guard !isAbandoned.load(ordering: .relaxed) else { return refuse() }
    stream.withLock { engine in
      if let context {
        engine = try? TLSEngine(server: context)
        let bytes = hello
        _ = engine?.receive(bytes.span.rawBytes)
      }
      _ = engine?.handshake()
    }
    datagram.withLock { engine in
      _ = engine?.handshake()
      for bytes in datagrams {
        guard engine?.receive(bytes.span.rawBytes) == true else { continue }
        _ = engine?.handshake()
      }
    }
    answers.post(.handshake(self))
  }

  /// Ends the handshake without returning the engine.
  func refuse() {
    _ = takeStreamEngine()
    _ = takeDatagramEngine()
    if !isAbandoned.load(ordering: .relaxed) { answers.post(.handshake(self)) }
  }
}

/// The engine of a closed connection.
final class DiscardedEngine: Sendable {
  private let engine: Mutex<TLSEngine?>

  init(_ engine: consuming TLSEngine) { self.engine = Mutex(engine) }
}

/// A handshake thread with a lower priority than the shards, with a bounded queue in which addresses take turns. A
/// public-key operation takes up to ten milliseconds, and media must not wait for it.
///
/// The thread also makes and frees the engines of connections. OpenSSL takes locks of the whole process for that, and
/// libc's read-write locks spin in places: a shard that needs such a lock while it has interrupted this thread on its
/// core would spin until the end of its time slice.
final class HandshakeService: Sendable {
  /// Limit of waiting jobs; beyond it the oldest job of the heaviest address is refused.
  static let limit = 256

  private let queue = Mutex(TurnQueue<HandshakeJob>(limit: HandshakeService.limit))
  /// Wakes the thread; the only message ends it.
  private let bell: Mailbox<Bool>

  /// Limit of engines that wait to be freed; a further one is freed by its shard.
  static let discardLimit = 64
  private let discarded = Mutex<[DiscardedEngine]>([])

  init() throws(Errno) { bell = try Mailbox(capacity: 4) }

  /// The number of handshake threads: fewer than shards, because handshakes are rare compared to packets.
  static func count(shards: Int) -> Int { min(max(shards / 2, 1), 8) }

  func submit(_ job: HandshakeJob) {
    let victim = queue.withLock { $0.append(job, from: job.client) }
    victim?.refuse()
    bell.ring()
  }

  /// Lets the thread free an engine.
  func discard(_ engine: DiscardedEngine) {
    let isFull = discarded.withLock { waiting in
      guard waiting.count < Self.discardLimit else { return true }
      waiting.append(engine)
      return false
    }
    if !isFull { bell.ring() }
  }

  private func freeDiscarded() {
    let engines = discarded.withLock { waiting in
      defer { waiting = [] }
      return waiting
    }
    _ = consume engines
  }

  func stop() { bell.post(true) }

  /// The thread's body.
  func run() {
    Thread.lowerPriority()
    while true {
      bell.wait()
      guard bell.takeAll().isEmpty else { return }
      freeDiscarded()
      while let job = queue.withLock({ $0.next() }) {
        job.run()
        freeDiscarded()
      }
    }
  }
}
