internal import Log
internal import NetworkTypes
internal import Synchronization
internal import TURN

/// A running capture, or the last one. All shards fill it; the admin endpoint reads it.
///
/// A shard never waits for the lock: a message that comes while another thread has it is left out and counted. The
/// first message beyond `CaptureFile.limit` ends the capture.
final class CaptureBuffer: Sendable {
  let number: Int
  let filter: CaptureFilter
  private let start: Now
  /// The total length of the capture.
  let duration: Duration
  let deadline: Instant
  private let file: Mutex<CaptureFile>
  private let leftOut: Atomic<Int>
  private let hasBeenEnded: Atomic<Bool>
  private let isForgotten = Atomic<Bool>(false)

  init(number: Int, _ filter: CaptureFilter, now: Now, duration: Duration) {
    self.number = number
    self.filter = filter
    self.duration = duration
    start = now
    deadline = now.instant.advanced(by: duration)
    file = Mutex(CaptureFile())
    leftOut = Atomic(0)
    hasBeenEnded = Atomic(false)
  }

  /// Continues a capture of another process.
  init(_ record: CaptureRecord) {
    number = Int(record.number)
    filter = CaptureFilter(user: record.user, names: record.names)
    duration = record.duration
    start = record.start
    deadline = record.start.instant.advanced(by: record.duration)
    file = Mutex(CaptureFile(bytes: record.bytes, messages: Int(record.messages)))
    leftOut = Atomic(Int(record.leftOut))
    hasBeenEnded = Atomic(record.hasEnded)
  }

  var record: CaptureRecord {
    let file = file.withLock { $0 }
    var record = CaptureRecord()
    record.number = UInt32(clamping: number)
    record.user = filter.user
    record.names = filter.names
    record.duration = duration
    record.start = start
    record.hasEnded = hasBeenEnded.load(ordering: .relaxed)
    record.messages = UInt32(clamping: file.messages)
    record.leftOut = UInt32(clamping: leftOut.load(ordering: .relaxed))
    record.bytes = file.bytes
    return record
  }

  func isRunning(at now: Instant) -> Bool { now < deadline && !hasBeenEnded.load(ordering: .relaxed) }

  /// Whether every shard has been told that the capture has ended.
  var hasEndedEverywhere: Bool { isForgotten.load(ordering: .relaxed) }

  func markEndedEverywhere() { isForgotten.store(true, ordering: .relaxed) }

  func end() { hasBeenEnded.store(true, ordering: .relaxed) }

  func add(_ message: CapturedMessage, server: SocketAddress, now: Instant) {
    let time = start.wall.duration(since: .epoch) + now.duration(since: start.instant)
    let client = message.client.address
    let (source, target) = message.isFromClient ? (client, server) : (server, client)
    let isAdded = file.withLockIfAvailable {
      $0.append(
        message.bytes, time: time, from: source, to: target, comment: "over \(message.client.transport)")
    }
    if isAdded != true { leftOut.add(1, ordering: .relaxed) }
    // The file is full. A message that finds the lock taken (nil) is only left out.
    if isAdded == false { end() }
  }

  var bytes: [UInt8] { file.withLock { $0.bytes } }

  /// Messages in the file, and those that were left out.
  var counts: (messages: Int, leftOut: Int) {
    (file.withLock { $0.messages }, leftOut.load(ordering: .relaxed))
  }
}

extension Shard {
  /// Begins a capture, or ends it with nil.
  mutating func useCapture(_ filter: CaptureFilter?, _ buffer: CaptureBuffer?) {
    capture = buffer
    relay.capture(filter)
    // All shards get the capture: one log line is enough.
    guard plan.index == 0, let filter, let buffer else { return }
    plan.log.info(
      "capture-started", ("user", PrivacyText(privacy: plan.log.privacy).user(filter.user)),
      ("seconds", .number(buffer.duration.wholeSeconds)))
  }

  /// Adds a message of the user to the capture, with the server's address that the client uses.
  mutating func record(_ message: CapturedMessage) {
    guard let capture, capture.isRunning(at: now.instant) else { return useCapture(nil, nil) }
    let endpoint = endpoints.endpoint(message.client.endpoint)
    let listener = plan.listeners[endpoint.listener].address
    capture.add(
      message, server: SocketAddress(endpoint.source ?? listener.address, port: listener.port), now: now.instant)
  }
}
