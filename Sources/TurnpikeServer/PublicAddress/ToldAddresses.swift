internal import Configuration
internal import Log
internal import NetworkTypes
internal import System
internal import TURN

/// The addresses that clients get for the relay addresses: the search, its present question, and the count of changes.
struct ToldAddresses {
  /// The search; nil before it starts.
  var service: PublicAddressService?
  var thread: Thread?
  /// The present question of the search. Reports about another question are out of date.
  private(set) var question: PublicAddressSearch.Question?
  private var lines = PublicAddressLog()
  /// The number of times since the start that clients got another address than before.
  private(set) var changes: UInt64 = 0

  /// Whether a search has found the public address of a relay address since the start.
  func hasFound(_ local: IPAddress) -> Bool { lines.hasFound(local) }

  mutating func countChange() { changes += 1 }

  /// Starts a search for a configuration.
  mutating func ask(_ relay: Settings.RelaySection, locals: [IPAddress]) {
    guard relay.advertise.looksUp || question?.advertise.looksUp == true else { return }
    let next = PublicAddressSearch.Question(relay, locals: locals)
    question = next
    service?.ask(next, every: relay.detectInterval)
  }

  /// The addresses that clients get after these reports, one for each entry; an address without an answer stays. Of
  /// several answers the last one counts, because no client has got the others. Logs the changes.
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
