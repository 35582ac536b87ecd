internal import NetworkTypes
internal import TURN
internal import Tables

/// The record of a capture for another process, which continues it.
struct CaptureRecord {
  /// The kind of a capture among the server's records; kind 1 is a port, kind 2 a ban.
  static let kind: UInt8 = 3

  var number: UInt32 = 0
  var user: [UInt8] = []
  var names = CaptureFilter.Names.none
  /// The total length of the capture.
  var duration = Duration.zero
  var start = Now(instant: Instant(nanoseconds: 0), wall: .epoch)
  var hasEnded = false
  var messages: UInt32 = 0
  var leftOut: UInt32 = 0
  /// The present content of the file.
  var bytes: [UInt8] = []

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&number)
    try coder.code(&user)
    try coder.code(&names)
    // The record has whole seconds, and the wall clock in nanoseconds.
    var seconds = duration.wholeSeconds
    var wall = UInt64(clamping: start.wall.seconds) &* 1_000_000_000
    try coder.code(&seconds)
    try coder.code(&start.instant.nanoseconds)
    try coder.code(&wall)
    duration = .seconds(seconds)
    start.wall = UnixTime(clamping: wall / 1_000_000_000)
    try coder.code(&hasEnded)
    try coder.code(&messages)
    try coder.code(&leftOut)
    // A byte string in a record must be shorter than a file may be.
    let size = RecordCoder.longestBytes
    var parts = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
    try coder.codeList(&parts, []) { coder, part throws(RecordError) in try coder.code(&part) }
    guard parts.reduce(0, { $0 + $1.count }) <= CaptureFile.limit, seconds <= 86_400 else {
      throw coder.failure("a capture is too long")
    }
    bytes = Array(parts.joined())
  }

  /// The capture among the server's records; nil if there is none.
  static func read(_ bytes: [UInt8]) throws(RecordError) -> CaptureBuffer? {
    var coder = RecordCoder(reading: bytes)
    var found: CaptureBuffer?
    while let kind = try coder.next() {
      if kind == Self.kind {
        var record = CaptureRecord()
        try record.code(with: &coder)
        found = CaptureBuffer(record)
      }
      coder.end()
    }
    return found
  }
}
