internal import NetIO
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
  /// The complete ClientHello of a connection that has no engine yet; empty when the engine has it.
  private let hello: Mutex<[UInt8]>
  /// The context of that connection's engine.
  private let context: TLSContext?
  private let isAbandoned = Atomic(false)
  /// The connection's socket, for the server's flight; nil if the shard sends it.
  private let descriptor: Int32?
  /// The socket of a closed connection, so that its number stays in use while the thread may write.
  private let socket = Mutex<StreamSocket?>(nil)
  private let stage = Atomic(Stage.running)

  /// The way back of the engine.
  private enum Stage: UInt8, AtomicRepresentable {
    case running
    /// The flight has been sent. The engine waits here for the client's next bytes, for which its shard wakes anyway.
    case parked
    /// The client's bytes are here already: the engine returns through the mailbox.
    case awaited
  }

  /// - Parameters:
  ///   - engine: the engine with its received bytes.
  ///   - descriptor: the connection's socket, which stays open until the engine is back, or is given to `keep`. Nil: the
  ///     shard sends the flight.
  init(
    _ target: Handle<Connection>, _ client: IPAddress, _ engine: consuming TLSEngine, descriptor: Int32?,
    answers: Mailbox<ShardMessage>
  ) {
    self.target = .connection(target)
    self.client = client
    self.descriptor = descriptor
    self.answers = answers
    stream = Mutex(engine)
    datagram = Mutex(nil)
    datagrams = []
    hello = Mutex([])
    context = nil
  }

  /// The first step of a connection, which also makes the engine.
  ///
  /// - Parameter hello: the connection's first bytes, a complete ClientHello.
  init(
    _ target: Handle<Connection>, _ client: IPAddress, _ context: TLSContext, hello: [UInt8], descriptor: Int32?,
    answers: Mailbox<ShardMessage>
  ) {
    self.target = .connection(target)
    self.client = client
    self.descriptor = descriptor
    self.answers = answers
    stream = Mutex(nil)
    datagram = Mutex(nil)
    datagrams = []
    self.hello = Mutex(hello)
    self.context = context
  }

  init(
    _ target: Handle<Association>, _ client: IPAddress, _ engine: consuming DTLSEngine, datagrams: [[UInt8]],
    answers: Mailbox<ShardMessage>
  ) {
    self.target = .association(target)
    self.client = client
    descriptor = nil
    self.answers = answers
    stream = Mutex(nil)
    datagram = Mutex(engine)
    self.datagrams = datagrams
    hello = Mutex([])
    context = nil
  }

  static func == (one: HandshakeJob, other: HandshakeJob) -> Bool { one === other }

  /// Takes the engine, once; nil if the job was refused.
  func takeStreamEngine() -> TLSEngine? { stream.withLock { $0.take() } }
  func takeDatagramEngine() -> DTLSEngine? { datagram.withLock { $0.take() } }

  /// Marks the client as gone: a job that has not begun is skipped.
  func abandon() { isAbandoned.store(true, ordering: .relaxed) }

  /// Takes over the socket of a connection that is closed while the engine is away.
  func keep(_ socket: consuming StreamSocket) {
    var given: StreamSocket? = socket
    self.socket.withLock { $0 = given.take() }
  }

  /// Whether the engine waits here for the client's next bytes.
  var isParked: Bool { stage.load(ordering: .acquiring) == .parked }

  /// The client's next bytes are here. False if the engine is still at work: it returns through the mailbox then.
  func unpark() -> Bool {
    stage.compareExchange(expected: .running, desired: .awaited, ordering: .acquiringAndReleasing).original == .parked
  }

  /// Continues the handshake with the received bytes, and sends the flight; `sendBack` follows.
  func run() {
    guard !isAbandoned.load(ordering: .relaxed) else { return drop() }
    let waitsForClient = stream.withLock { engine in
      if let context {
        engine = try? TLSEngine(server: context)
        let bytes = hello.withLock { hello in
          defer { hello = [] }
          return hello
        }
        _ = engine?.receive(bytes.span.rawBytes)
      }
      _ = engine?.handshake()
      return Self.sendFlight(of: &engine, to: descriptor)
    }
    // Only after the lock: the shard takes a parked engine at once.
    if waitsForClient {
      _ = stage.compareExchange(expected: .running, desired: .parked, ordering: .acquiringAndReleasing)
    }
    datagram.withLock { engine in
      _ = engine?.handshake()
      for bytes in datagrams {
        guard engine?.receive(bytes.span.rawBytes) == true else { continue }
        _ = engine?.handshake()
      }
    }
  }

  /// Sends the flight of an incomplete handshake. False if the shard must see the engine: the handshake is complete or
  /// has failed, or the kernel does not accept the whole flight.
  private static func sendFlight(of engine: inout TLSEngine?, to descriptor: Int32?) -> Bool {
    guard let descriptor, engine?.isEstablished == false, engine?.failure == nil else { return false }
    while let waiting = engine?.outputByteCount, waiting > 0 {
      guard let written = engine?.writeOutput(to: descriptor) ?? nil, written > 0 else { return false }
      engine?.consumeOutput(written)
    }
    // The engine may wait here for as long as a handshake may take.
    engine?.releaseBuffers()
    return true
  }

  /// Puts the job into its shard's mailbox, unless the engine is parked or the connection has ended; `wakeShard` follows,
  /// after further jobs.
  func sendBack() {
    if !isParked, !isAbandoned.load(ordering: .relaxed) { answers.enqueue(.handshake(self)) }
  }

  /// Wakes the shard, unless it has taken its jobs already: the first of several calls interrupts this thread.
  func wakeShard() { if !answers.isEmpty { answers.wakeReader() } }

  private func drop() {
    _ = takeStreamEngine()
    _ = takeDatagramEngine()
  }

  /// Ends the handshake without returning the engine.
  func refuse() {
    drop()
    sendBack()
    wakeShard()
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
  /// Whether the thread must be woken for a job.
  private let isIdle = Atomic(false)

  /// Limit of engines that wait to be freed; a further one is freed by its shard.
  static let discardLimit = 64
  /// The number of them that wakes the thread.
  static let discardBatch = 16
  private let discarded = Mutex<[DiscardedEngine]>([])

  /// How long finished steps wait for the next ones, so that they return together.
  private let answerDelay: Duration

  init(answerDelay: Duration = .milliseconds(2)) throws(Errno) {
    self.answerDelay = answerDelay
    bell = try Mailbox(capacity: 4)
  }

  /// The number of handshake threads: fewer than shards, because handshakes are rare compared to packets.
  static func count(shards: Int) -> Int { min(max(shards / 2, 1), 8) }

  func submit(_ job: HandshakeJob) {
    let victim = queue.withLock { $0.append(job, from: job.client) }
    victim?.refuse()
    wake()
  }

  private func wake() { if isIdle.exchange(false, ordering: .sequentiallyConsistent) { bell.ring() } }

  /// Lets the thread free an engine: with the next handshake, when many wait, or after `freeWaiting`. So few engines wake
  /// the thread.
  func discard(_ engine: DiscardedEngine) {
    let count = discarded.withLock { waiting in
      guard waiting.count < Self.discardLimit else { return 0 }
      waiting.append(engine)
      return waiting.count
    }
    if count >= Self.discardBatch { wake() }
  }

  /// Has the thread free the engines that wait.
  func freeWaiting() { wake() }

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
    while bell.isEmpty {
      if runJobs() { continue }
      // A job that came before this is found by the second look; a later one rings.
      isIdle.store(true, ordering: .sequentiallyConsistent)
      if runJobs() {
        isIdle.store(false, ordering: .sequentiallyConsistent)
        continue
      }
      bell.wait()
      guard bell.takeAll().isEmpty else { return }
    }
  }

  /// Runs waiting jobs for about `answerDelay`, and frees engines. False if there was no job.
  ///
  /// The jobs return to their shards together. One that returned alone would wake its shard, which has a higher
  /// priority and interrupts this thread on its core: two task switches for each step of a handshake.
  private func runJobs() -> Bool {
    var finished: [HandshakeJob] = []
    let begin = Instant.read()
    while let job = queue.withLock({ $0.next() }) {
      job.run()
      finished.append(job)
      if Instant.read() >= begin.advanced(by: answerDelay) { break }
    }
    for job in finished { job.sendBack() }
    for job in finished { job.wakeShard() }
    freeDiscarded()
    return !finished.isEmpty
  }
}
