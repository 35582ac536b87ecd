internal import Log
internal import NetworkTypes
internal import System

/// The log of the search for public addresses: one line for each change, and one an hour for a failure that lasts.
struct PublicAddressLog {
  private static let interval = Duration.seconds(3600)

  /// The public address that was last logged for each relay address.
  private var found: [IPAddress: IPAddress] = [:]
  /// The time of the next line about each relay address whose search fails.
  private var failures: [IPAddress: Instant] = [:]

  /// Whether a search has found the public address of a relay address since the start.
  func hasFound(_ local: IPAddress) -> Bool { found[local] != nil }

  /// - Parameters:
  ///   - told: the address that clients got before, and the one that they get from now on.
  ///   - now: the present time.
  mutating func write(
    _ finding: PublicAddressSearch.Finding, told: (before: IPAddress, now: IPAddress), now: Instant, to log: Log
  ) {
    guard let address = finding.found else { return writeFailure(finding, told: told.now, now: now, to: log) }
    let wasFailing = failures.removeValue(forKey: finding.local) != nil
    let before = found.updateValue(address, forKey: finding.local)
    guard before != address || wasFailing else { return }
    var fields: [Log.Field] = [("relay", .text("\(finding.local)")), ("address", .text("\(address)"))]
    if let before, before != address {
      fields += [
        ("before", .text("\(before)")), ("source", .text(finding.source)),
        ("effect", "new allocations get the new address; live ones keep theirs"),
      ]
      return log.limited(.warning, "public-address-changed", source: "\(finding.local)", burst: 4, fields)
    }
    fields.append(("source", .text(finding.source)))
    if !finding.note.isEmpty { fields.append(("note", .text(finding.note))) }
    log.limited(
      finding.note.isEmpty ? .info : .warning, "public-address-found", source: "\(finding.local)", burst: 4, fields)
  }

  private mutating func writeFailure(
    _ finding: PublicAddressSearch.Finding, told: IPAddress, now: Instant, to log: Log
  ) {
    if let next = failures[finding.local], now < next { return }
    failures[finding.local] = now.advanced(by: Self.interval)
    let effect =
      told == finding.local
      ? "clients are told \(told), which only its own network may reach" : "clients are still told \(told)"
    log.limited(
      .warning, "public-address-failed", source: "\(finding.local)", burst: 4,
      [
        ("relay", .text("\(finding.local)")), ("reason", .text(finding.reasons.joined(separator: "; "))),
        ("effect", .text(effect)),
        (
          "remedy",
          "set relay.advertise to the public address, or name a STUN server: relay.detect: [ \"stun:stun.example.org\" ]"
        ),
      ])
  }
}
