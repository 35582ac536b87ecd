internal import NetworkTypes
internal import System
internal import Tables

/// The messages between the older process and the newer one. The first byte of each is its kind.
///
/// ```
///   older                                       newer
///     │ ── offer ───────────────────────────────▶ │  reads its configuration, opens its stores
///     │ ◀─────────────────────────── prepared ── │
///     │ stops reading                             │
///     │ ── part, descriptors, … , complete ─────▶ │  makes its tables
///     │ ◀────────────────────────────── ready ── │
///     │ ── go ──────────────────────────────────▶ │  reads
///     │ ── signal, drained ─────────────────────▶ │
///     │ ◀────────────────────────────── ended ── │
/// ```
///
/// `go` moves the server to the newer process: before it, the older process continues after any error; after it, the
/// newer process serves.
enum HandoverMessage: UInt8 {
  /// From the newer process: the reason why it cannot take over. The value is that of `Starter.failureMark`.
  case refused = 0
  case offer = 1
  case prepared = 2
  /// The number of a shard (16 bit), 0 for the relay's records, 1 for the engine's, 2 for the server's, and bytes.
  case part = 3
  /// The number of a shard, and descriptors beside the bytes.
  case descriptors = 4
  /// The number of allocations that stay with the older process, 32 bits, big-endian.
  case complete = 5
  case ready = 6
  /// 1 if the older process waits for the newer one's end, else 0; with the descriptor of the connection to another
  /// process that waits for it.
  case go = 7
  /// A signal that the older process has received.
  case signal = 8
  /// The older process has no clients left.
  case drained = 9
  /// The newer process ends with this status.
  case ended = 10
}

/// The connection of two processes.
public final class HandoverConnection: Sendable {
  private let socket: MessageSocket

  init(_ socket: consuming MessageSocket) { self.socket = socket }

  /// The connection to the older process, if one has started this process.
  public static func inherited() -> HandoverConnection? {
    guard let socket = Starter.inherited() else { return nil }
    return HandoverConnection(socket)
  }

  /// The descriptor of the connection.
  public var rawValue: Int32 { socket.rawValue }

  /// Tells the older process why this one cannot take over.
  public func refuse(_ reason: String) { try? send(.refused, Array(reason.utf8.prefix(4096))) }

  struct Received {
    var kind: HandoverMessage
    var bytes: [UInt8]
    var descriptors: [Int32]
  }

  /// The connection is broken, or the other process does not answer, or refuses with a reason.
  struct Failure: Error {
    var reason: String
  }

  func send(
    _ kind: HandoverMessage, _ bytes: some Sequence<UInt8> = [], _ descriptors: [Int32] = [],
    within time: Duration = .seconds(5)
  ) throws(Failure) {
    do throws(Errno) {
      try socket.send([kind.rawValue] + bytes, descriptors, until: Instant.read().advanced(by: time))
    } catch {
      throw Failure(reason: "the other process does not read: \(error)")
    }
  }

  /// The next message; nil if none has arrived yet.
  func receiveNow() throws(Failure) -> Received? {
    let message: MessageSocket.Message?
    do throws(Errno) { message = try socket.receiveNow() } catch {
      if error == .wouldBlock { return nil }
      throw Failure(reason: "\(error)")
    }
    return try read(message)
  }

  /// The next message, which must be of this kind.
  func receive(_ kind: HandoverMessage, within time: Duration) throws(Failure) -> Received {
    let received = try receive(within: time)
    guard received.kind == kind else { throw Failure(reason: "the other process has sent an unexpected message") }
    return received
  }

  func receive(within time: Duration) throws(Failure) -> Received {
    let message: MessageSocket.Message?
    do throws(Errno) { message = try socket.receive(until: Instant.read().advanced(by: time)) } catch {
      throw Failure(
        reason: error == .timedOut ? "the other process has not answered for \(time.wholeSeconds) s" : "\(error)")
    }
    return try read(message)
  }

  private func read(_ message: MessageSocket.Message?) throws(Failure) -> Received {
    guard let message, let first = message.bytes.first else { throw Failure(reason: "the other process has ended") }
    guard let kind = HandoverMessage(rawValue: first) else {
      throw Failure(reason: "the other process has sent a message that this version does not know")
    }
    let bytes = Array(message.bytes.dropFirst())
    if kind == .refused { throw Failure(reason: String(decoding: bytes, as: UTF8.self)) }
    return Received(kind: kind, bytes: bytes, descriptors: message.descriptors)
  }

  // MARK: - Packages

  /// The part of the records that is the server's, not a shard's.
  static let serverPart: UInt8 = 2

  func send(_ package: HandoverPackage, ofShard shard: Int) throws(Failure) {
    try send(package.relay, shard, 0)
    try send(package.engine, shard, 1)
    var start = 0
    while start < package.descriptors.count {
      let end = min(start + MessageSocket.descriptorLimit, package.descriptors.count)
      try send(.descriptors, Self.bytes(shard), Array(package.descriptors[start..<end]))
      start = end
    }
  }

  func send(_ records: [UInt8], _ shard: Int, _ part: UInt8) throws(Failure) {
    let size = 48 << 10
    var start = 0
    while start < records.count {
      let end = min(start + size, records.count)
      try send(.part, Self.bytes(shard) + [part] + records[start..<end])
      start = end
    }
  }

  private static func bytes(_ shard: Int) -> [UInt8] {
    [UInt8(truncatingIfNeeded: shard >> 8), UInt8(truncatingIfNeeded: shard)]
  }

  /// The records that a process has received until `complete`.
  struct State {
    var packages: [HandoverPackage]
    /// The server's records.
    var server: [UInt8] = []
    /// Allocations that stay with the older process.
    var kept = 0
  }

  func receiveState(shards: Int) throws(Failure) -> State {
    var state = State(packages: Array(repeating: HandoverPackage(), count: shards))
    while true {
      let message = try receive(within: .seconds(10))
      if message.kind == .complete {
        if message.bytes.count == 4 { state.kept = message.bytes.reduce(0) { $0 << 8 | Int($1) } }
        return state
      }
      guard message.bytes.count >= 2, message.kind == .part || message.kind == .descriptors else {
        throw Failure(reason: "the other process has sent an unexpected message")
      }
      let shard = Int(message.bytes[0]) << 8 | Int(message.bytes[1])
      guard shard < shards else { throw Failure(reason: "there is no shard \(shard)") }
      if message.kind == .descriptors {
        state.packages[shard].descriptors += message.descriptors
      } else {
        try Self.add(message.bytes.dropFirst(2), shard, to: &state)
      }
      guard state.packages[shard].descriptors.count <= HandoverPackage.descriptorLimit else {
        throw Failure(reason: "there are too many descriptors")
      }
    }
  }

  private static func add(_ bytes: ArraySlice<UInt8>, _ shard: Int, to state: inout State) throws(Failure) {
    let records = bytes.dropFirst()
    switch bytes.first {
    case 0: state.packages[shard].relay += records
    case 1: state.packages[shard].engine += records
    case serverPart: state.server += records
    default: throw Failure(reason: "the other process has sent records of an unknown part")
    }
    let count = state.packages[shard].relay.count + state.packages[shard].engine.count + state.server.count
    guard count <= HandoverPackage.byteLimit else { throw Failure(reason: "there are too many records") }
  }
}
