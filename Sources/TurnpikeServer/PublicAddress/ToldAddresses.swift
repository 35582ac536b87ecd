internal import Configuration
internal import Log
internal import NetworkTypes
internal import System
internal import TURN

/// What clients are told for the relay addresses: the search, the question that it answers now, and what has changed.
struct ToldAddresses {
  /// The search; nil before it starts.
  var service: PublicAddressService?
  var thread: Thread?
  /// What is searched for now. Reports about another question are out of date.
  private(set) var question: PublicAddressSearch.Question?
  private var lines = PublicAddressLog()
  /// How often clients were told another address than before, since the start.
  private(set) var changes: UInt64 = 0

  /// Whether the search has found the public address of a local one at some time.
  func hasFound(_ local: IPAddress) -> Bool { lines.hasFound(local) }

  mutating func countChange() { changes += 1 }

  /// Asks the question of a configuration.
  mutating func ask(_ relay: Settings.RelaySection, locals: [IPAddress]) {
    guard relay.advertise.looksUp || question?.advertise.looksUp == true else { return }
    let next = PublicAddressSearch.Question(relay, locals: locals)
    question = next
    service?.ask(next, every: relay.detectInterval)
  }

  /// What clients are told after these reports, for each of the addresses; an address without an answer stays. Of several
  /// answers the last one counts, because no client was told the others. Logs what has changed.
  mutating func addresses(
    after reports: [PublicAddressService.Report], of entries: [RelayedAddresses.Entry], now: Instant, to log: Log
  ) -> [IPAddress] {
    var told = entries.map(\.advertised)
    for report in reports where report.question == question {
      let before = told
      for (index, entry) in entries.enumerated() {
        guard let finding = report.findings.first(where: { $0.local == entry.local }) else { continue }
        told[index] = finding.found ?? before[index]
        if report.question.advertise.looksUp {
          lines.write(finding, told: (before[index], told[index]), now: now, to: log)
        }
      }
    }
    return told
  }
}
