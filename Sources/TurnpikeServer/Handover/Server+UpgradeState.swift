internal import Synchronization
internal import TURN
internal import Tables

/// The bans and the capture, which only the main process has in memory, and no shard.
extension Server {
  func exportState() -> [UInt8] { exportBans() + exportCapture() }

  /// The bans of operators, which no file has.
  private func exportBans() -> [UInt8] {
    var coder = RecordCoder()
    for var ban in admin?.view.banBook.withLock({ $0.bans }) ?? [] {
      coder.begin(BanBook.recordKind)
      // Writing cannot fail.
      try? ban.code(with: &coder)
      coder.end()
    }
    return coder.bytes
  }

  /// The running capture, or the last one.
  private func exportCapture() -> [UInt8] {
    guard let capture = admin?.view.captures.withLock({ $0 }) else { return [] }
    var record = capture.record
    var coder = RecordCoder()
    coder.begin(CaptureRecord.kind)
    // Writing cannot fail.
    try? record.code(with: &coder)
    coder.end()
    return coder.bytes
  }
}
