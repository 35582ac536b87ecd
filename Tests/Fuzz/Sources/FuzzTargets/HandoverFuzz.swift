internal import NetworkTypes
internal import TURN
internal import Tables

/// The records of a relay that another process hands over. What is read can be written and read again, and ends without
/// a trap.
enum HandoverFuzz {
  // Shared by all executions, because they are large, and with a limit of 0 they have no effect.
  private static let limiter = StrangerRateLimiter(limit: 0, seed: (1, 2))
  private static let users = UserRateLimiter(seed: (1, 2))
  private static let bandwidth = BandwidthPools(seed: (3, 4))
  private static let now = Now(instant: Instant(nanoseconds: 1_000_000_000_000), wall: UnixTime(seconds: 1_800_000_000))

  /// Whether the first record, if it can be read, asks for few slots.
  private static func hasSmallTables(_ bytes: [UInt8]) -> Bool {
    var coder = RecordCoder(reading: bytes)
    var version: UInt16 = 0
    do throws(RecordError) {
      _ = try coder.next()
      try coder.code(&version)
      for _ in 0..<3 {
        var shape = SlotMap<UInt8>.Shape()
        try coder.code(&shape)
        guard shape.upperBound <= slots else { return false }
      }
    } catch { return true }
    return true
  }

  private static func makeRelay() -> Relay {
    let own = IPAddress("203.0.113.1") ?? .ipv4Loopback
    let relayed = RelayedAddresses(
      entries: [RelayedAddresses.Entry(local: own, advertised: own)], ports: 50_000...50_999)
    return Relay(
      settings: RelaySettings(),
      gate: PeerGate(rules: PeerRules(), relayed: relayed, ownAddresses: [own], closed: []), relayed: relayed,
      limiter: limiter, users: users, bandwidth: bandwidth,
      identity: Relay.Identity(shard: 0, shardCount: 2, seed: [1], sharedKey: [2]), now: now)
  }

  /// The most slots of a table that an input may ask for. More slots would only cost an execution memory; the ordinary
  /// tests check the limit itself.
  private static let slots = 256

  static func problem(with bytes: [UInt8]) -> String? {
    guard hasSmallTables(bytes) else { return nil }
    let mapping = HandoverMapping(
      realms: [.default], ordinals: [0], endpoints: [Bool](repeating: true, count: 256))
    var relay = makeRelay()
    let count: Int
    do throws(RecordError) { count = try relay.restore(bytes, mapping, now: now).summaries.count } catch { return nil }
    let exported = relay.export { _ in true }
    var again = makeRelay()
    do throws(RecordError) {
      let restored = try again.restore(exported.bytes, mapping, now: now)
      guard restored.summaries.count == count else { return "\(restored.summaries.count) of \(count) allocations" }
    } catch {
      return "its own records cannot be read: \(error)"
    }
    let hour = Duration.seconds(3600)
    again.advance(to: Now(instant: now.instant.advanced(by: hour), wall: now.wall.advanced(by: hour)))
    again.endAllAllocations(now: now)
    while again.popCommand() != nil {}
    return again.allocationCount == 0 ? nil : "allocations are left"
  }
}
