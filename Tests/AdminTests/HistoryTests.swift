internal import JSON
internal import Testing

@testable internal import Admin

@Suite("History of the last hour")
struct HistoryTests {
  private func counts(_ number: UInt64) -> History.Counts {
    var counts = History.Counts()
    counts.allocations = Int(number)
    counts.bytesToPeers = number * 100
    counts.bytesToClients = number * 200
    counts.drops = number
    counts.failedLogins = number * 2
    return counts
  }

  @Test("A sample has rates since the sample before, and the present allocations")
  func rates() throws {
    var history = History(counts(10))
    history.record(counts(20), after: .seconds(10))
    let sample = try #require(history.samples.first)
    #expect(sample == .init(allocations: 20, toPeers: 100, toClients: 200, drops: 1, failedLogins: 2))
  }

  @Test("The ring keeps one hour, oldest first")
  func ring() {
    var history = History(counts(0))
    for number in 1...1000 { history.record(counts(UInt64(number)), after: .seconds(10)) }
    #expect(history.samples.map(\.allocations) == Array(641...1000))
  }

  @Test("The rate is 0 after a count has fallen, and between two samples at one time")
  func strange() {
    var history = History(counts(10))
    history.record(counts(5), after: .seconds(10))
    history.record(counts(9), after: .seconds(0))
    #expect(history.samples.map(\.toPeers) == [0, 0])
  }

  @Test("The document has one list for each value")
  func document() {
    var history = History(counts(0))
    history.record(counts(1), after: .seconds(10))
    let document = history.document(end: "now")
    for name in ["allocations", "to-peers", "to-clients", "drops", "failed-logins"] {
      #expect(document[name]?.array?.count == 1, "\(name)")
    }
    #expect(document["interval"]?.integer == 10 && document["end"]?.string == "now")
  }
}
