internal import NetworkTypes

/// An event and source with its own limit on repeated lines.
struct LimitedKey: Hashable {
  var event: String
  var source: String
}

/// Ten seconds of one limited event and source.
struct LimitedWindow {
  var end: UnixTime
  var written: UInt64 = 0
  var heldBack: UInt64 = 0

  /// Nil if the line is suppressed, else the number of suppressed lines since the last written one.
  mutating func admit(now: UnixTime, burst: UInt64) -> UInt64? {
    if now >= end {
      let before = heldBack
      self = LimitedWindow(end: now.advanced(by: .seconds(10)), written: 1)
      return before
    }
    guard written < burst else {
      heldBack += 1
      return nil
    }
    written += 1
    return 0
  }
}

extension Log.State {
  /// Limit of sources with a limit of their own.
  private static let sourceLimit = 1024

  /// The key that counts an event of a source: its own, or one for all sources if there are too many already.
  mutating func limitedKey(event: String, source: String, now: UnixTime) -> LimitedKey {
    let key = LimitedKey(event: event, source: source)
    if source.isEmpty || limited[key] != nil || limited.count < Self.sourceLimit { return key }
    // Ended windows are removed; the number of their suppressed lines is no longer logged.
    if now >= nextSweep {
      nextSweep = now.advanced(by: .seconds(1))
      limited = limited.filter { $0.key.source.isEmpty || $0.value.end > now }
    }
    return limited.count < Self.sourceLimit ? key : LimitedKey(event: event, source: "others")
  }
}
