internal import Admin
internal import Configuration
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// Captures of one user's messages: one at a time, kept until the next one begins.
extension AdminView {
  func startCapture(_ query: CaptureQuery) throws(AdminFailure) -> JSONValue {
    let now = Now.read()
    let user = Array(query.user.utf8)
    guard (1...763).contains(user.count) else { throw .invalid("user has 1 to 763 bytes") }
    let privacy = facts.withLock { $0.settings.log.privacy }
    let filter = CaptureFilter(user: user, names: CaptureFilter.Names(privacy))
    let buffer: CaptureBuffer? = captures.withLock { last in
      if let last, last.isRunning(at: now.instant) { return nil }
      let new = CaptureBuffer(number: (last?.number ?? 0) + 1, filter, now: now, duration: query.duration)
      last = new
      return new
    }
    guard let buffer else { throw .conflict("another capture runs: wait for its end, or end it with DELETE") }
    for shard in shards where !shard.post(.capture(filter, buffer), unlessMoreThan: 1024) {
      endCapture(buffer)
      throw .unavailable("a shard is too busy")
    }
    return describe(buffer)
  }

  /// Resumes a capture that an older process began. The names in its further messages follow the present
  /// `log.privacy`.
  func resumeCapture() {
    guard let buffer = captures.withLock({ $0 }), buffer.isRunning(at: .read()) else { return }
    let privacy = facts.withLock { $0.settings.log.privacy }
    let filter = CaptureFilter(user: buffer.filter.user, names: CaptureFilter.Names(privacy))
    for shard in shards where !shard.post(.capture(filter, buffer), unlessMoreThan: 1024) {
      return endCapture(buffer)
    }
  }

  func capture(_ id: String) throws(AdminFailure) -> [UInt8] {
    let buffer = try find(id)
    // While the bytes are being sent, a shard that added to them would copy the whole file.
    guard !buffer.isRunning(at: .read()) else { throw .conflict("the capture still runs: DELETE ends it") }
    return buffer.bytes
  }

  func endCapture(_ id: String) throws(AdminFailure) -> JSONValue {
    let buffer = try find(id)
    endCapture(buffer)
    return describe(buffer)
  }

  /// Ends the capture in all shards if its time is over: a shard without messages does not notice.
  func endOldCapture() {
    let buffer = captures.withLock { $0 }
    if let buffer, !buffer.hasEndedEverywhere, !buffer.isRunning(at: .read()) { endCapture(buffer) }
  }

  private func endCapture(_ buffer: CaptureBuffer) {
    buffer.end()
    var reached = true
    for shard in shards where !shard.post(.capture(nil, nil), unlessMoreThan: 1024) { reached = false }
    if reached { buffer.markEndedEverywhere() }
  }

  private func find(_ id: String) throws(AdminFailure) -> CaptureBuffer {
    let last = captures.withLock { $0 }
    guard let last, id == String(last.number) else { throw .notFound("there is no capture \(id.debugDescription)") }
    return last
  }

  private func describe(_ buffer: CaptureBuffer) -> JSONValue {
    let counts = buffer.counts
    return [
      "id": .string(String(buffer.number)), "messages": .integer(Int64(counts.messages)),
      "left-out": .integer(Int64(counts.leftOut)), "running": .bool(buffer.isRunning(at: .read())),
    ]
  }
}

extension CaptureFilter.Names {
  /// The part of names that `log.privacy` allows.
  init(_ privacy: LogPrivacy) {
    switch privacy {
    case .full: self = .whole
    case .truncated: self = .beginning
    case .none: self = .none
    }
  }
}
