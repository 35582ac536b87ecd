internal import Synchronization
internal import TURN
internal import Tables

/// Exports the bans and the capture, which are in memory only and not part of a shard's records.
extension Server {
  func exportState() -> [UInt8] { exportBans() + exportCapture() }

  /// The records of operators' bans.
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

  /// The record of the running capture, or of the last one.
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
