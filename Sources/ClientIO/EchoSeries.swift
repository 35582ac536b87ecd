internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// Numbered packets from the client to the peer and back, paced like media.
enum EchoSeries {
  /// As many bytes as a packet of speech has.
  private static let packetByteCount = 172

  /// Packets that are taken at once, before it is looked at what is due.
  private static let burstLimit = 1024

  /// Sends `count` packets, `interval` milliseconds apart; each is waited for `timeout` milliseconds, the last one
  /// a second at most longer than what the slowest took. `stop` is asked every 50 ms at least, and ends the sending.
  /// A server that is down for a while ends nothing over UDP: the loss is counted. Whatever else ends the series, what
  /// was counted is kept.
  static func run(
    _ session: inout AllocationSession, _ peer: inout some RelayPeer & ~Copyable, count: Int, interval: UInt32,
    timeout: UInt32, tag: UInt64, stop: () -> Bool
  ) -> Outcome {
    var outcome = Outcome()
    var next = Instant.read()
    var count = count
    while true {
      if stop() { count = outcome.series.sent }
      let now = Instant.read()
      do throws(AllocationSession.Failure) {
        if outcome.series.sent < count, now >= next {
          next = max(next.advanced(byMilliseconds: interval), now)
          let packet = packet(tag, outcome.series.send(at: now))
          try session.send(packet, to: peer.address, until: now.advanced(byMilliseconds: timeout))
        }
        // What came to the peer goes back; what came back is counted.
        for _ in 0..<burstLimit {
          guard let (data, sender) = try peer.receive(until: now) else { break }
          if number(of: data, tag) != nil { try peer.send(data, to: sender) }
        }
        for _ in 0..<burstLimit {
          guard let datagram = try session.receiveData(until: now) else { break }
          if let number = number(of: datagram.data, tag) { _ = outcome.series.receive(number, at: .read()) }
        }
      } catch {
        outcome.failure = error
        guard case .connection(let failure) = error, failure.isPassing(over: session.connection.transport) else {
          return outcome
        }
      }
      let series = outcome.series
      let patience = series.sent < count ? timeout : lastWait(series, timeout)
      let waited = UInt64(patience) * 1_000_000
      if now.nanoseconds > waited {
        _ = outcome.series.giveUp(sentBefore: Instant(nanoseconds: now.nanoseconds - waited))
      }
      guard series.sent < count || outcome.series.pendingCount > 0 else {
        // It was passing, if anything came through.
        if series.received > 0 { outcome.failure = nil }
        return outcome
      }
      var due = now.advanced(byMilliseconds: 50)
      if series.sent < count { due = min(due, next) }
      if let keepAlive = session.client.deadline { due = min(due, keepAlive) }
      _ = Readiness.wait(forAnyOf: [session.connection.descriptor, peer.descriptor], until: due)
    }
  }

  /// What was counted, and what ended it, or kept everything from coming through.
  struct Outcome {
    var series = PacketSeries()
    var failure: AllocationSession.Failure?
  }

  private static func lastWait(_ series: PacketSeries, _ timeout: UInt32) -> UInt32 {
    min(timeout, 1000 + UInt32(clamping: series.maximum / 1_000_000))
  }

  private static func packet(_ tag: UInt64, _ number: Int) -> [UInt8] {
    let head = bytes(tag) + bytes(UInt64(number))
    return head + [UInt8](repeating: 0, count: packetByteCount - head.count)
  }

  private static func bytes(_ word: UInt64) -> [UInt8] {
    stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
  }

  private static func number(of data: [UInt8], _ tag: UInt64) -> Int? {
    guard data.count == packetByteCount, data.span.rawBytes.bigEndian64(at: 0) == tag else { return nil }
    return Int(exactly: data.span.rawBytes.bigEndian64(at: 8))
  }
}
