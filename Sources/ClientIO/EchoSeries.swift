internal import System
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// Numbered packets from the client to the peer and back, paced like media.
enum EchoSeries {
  /// The size of a typical speech packet.
  private static let packetByteCount = 172

  /// Limit of packets received before the timers are checked.
  private static let burstLimit = 1024

  /// Sends `count` packets, `interval` apart. A packet counts as lost after `timeout`; the last packets wait at most a
  /// second longer than the slowest round trip. `stop` is called every 50 ms at least; when it returns true, sending
  /// ends. Over UDP, packets to a server that is down for a while count as lost. After any other failure the series
  /// ends, and the counts are kept.
  static func run(
    _ session: inout AllocationSession, _ peer: inout some RelayPeer & ~Copyable, count: Int, interval: Duration,
    timeout: Duration, tag: UInt64, stop: () -> Bool
  ) -> Outcome {
    var outcome = Outcome()
    var next = Instant.read()
    var count = count
    while true {
      if stop() { count = outcome.series.sent }
      let now = Instant.read()
      do throws(AllocationSession.Failure) {
        if outcome.series.sent < count, now >= next {
          next = max(next.advanced(by: interval), now)
          let packet = packet(tag, outcome.series.send(at: now))
          try session.send(packet, to: peer.address, until: now.advanced(by: timeout))
        }
        try receive(&session, &peer, tag, &outcome.series, now: now)
      } catch {
        outcome.failure = error
        guard case .connection(let failure) = error, failure.isPassing(over: session.connection.transport) else {
          return outcome
        }
      }
      let wait = outcome.series.sent < count ? timeout : lastWait(outcome.series, timeout)
      outcome.series.giveUp(wait, now: now)
      let series = outcome.series
      guard series.sent < count || outcome.series.pendingCount > 0 else {
        // The failure was temporary if any packet arrived.
        if series.received > 0 { outcome.failure = nil }
        return outcome
      }
      var due = now.advanced(by: .milliseconds(50))
      if series.sent < count { due = min(due, next) }
      if let keepAlive = session.client.deadline { due = min(due, keepAlive) }
      _ = Readiness.wait(forAnyOf: [session.connection.descriptor, peer.descriptor], until: due)
    }
  }

  /// Sends the packets that reach the peer back, and counts the packets that return to the client.
  private static func receive(
    _ session: inout AllocationSession, _ peer: inout some RelayPeer & ~Copyable, _ tag: UInt64,
    _ series: inout PacketSeries, now: Instant
  ) throws(AllocationSession.Failure) {
    for _ in 0..<burstLimit {
      guard let (data, sender) = try peer.receive(until: now) else { break }
      if number(of: data, tag) != nil { try peer.send(data, to: sender) }
    }
    for _ in 0..<burstLimit {
      guard let datagram = try session.receiveData(until: now) else { break }
      if let number = number(of: datagram.data, tag) { _ = series.receive(number, at: .read()) }
    }
  }

  /// The counts, and the failure that ended the series or lost every packet.
  struct Outcome {
    var series = PacketSeries()
    var failure: AllocationSession.Failure?
  }

  private static func lastWait(_ series: PacketSeries, _ timeout: Duration) -> Duration {
    min(timeout, .seconds(1) + (series.maximum ?? .zero))
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

extension PacketSeries {
  /// Gives up packets that have waited longer than `timeout`.
  fileprivate mutating func giveUp(_ timeout: Duration, now: Instant) {
    let waited = timeout.wholeNanoseconds
    if now.nanoseconds > waited { _ = giveUp(sentBefore: Instant(nanoseconds: now.nanoseconds - waited)) }
  }
}
