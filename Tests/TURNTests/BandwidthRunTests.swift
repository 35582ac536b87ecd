import NetworkTypes
import TestSupport
import Testing

@testable import TURN

/// Several datagrams that arrive at one time, as from a peer that sends with UDP_SEGMENT, and large datagrams.
@Suite("Shared bandwidth limits and runs")
struct BandwidthRunTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var hasShares: Bool
    var configure: @Sendable (inout RealmLimits) -> Void
  }

  static let limit = 400_000

  @Test(
    "Clients that send 16 KB at a time use the whole limit; under limits.bandwidth each gets its share", .tags(.slow),
    arguments: [
      Case(testDescription: "limits.bandwidth", hasShares: true) { $0.bandwidth = .bytesPerSecond(UInt64(limit)) },
      Case(testDescription: "limits.bandwidth-per-user", hasShares: false) {
        $0.bandwidthPerUser = .bytesPerSecond(UInt64(limit))
      },
    ],
    // Datagrams of a run, and the bytes of each.
    [(13, 1200), (1, 15_600)])
  func runs(limit: Case, run: (count: Int, byteCount: Int)) {
    let conversation = Conversation { limit.configure(&$0.realms[0].limits) }
    conversation.transcript.isKept = false
    let clients = (1...20).map { SharedBandwidthTests.client(conversation, "192.0.2.\($0):1") }
    let packet = [UInt8](repeating: 7, count: run.byteCount)
    var passed = clients.map { _ in 0 }
    var wanted = 0
    var turn = 0
    // The clients send one run after another, together four times the limit.
    for step in 0..<2400 {
      conversation.tick(milliseconds: 10)
      wanted += Self.limit * 4 / 100
      while wanted >= run.count * run.byteCount {
        wanted -= run.count * run.byteCount
        turn += 1
        let index = turn % clients.count
        for _ in 0..<run.count where clients[index].channelData(0x4001, packet).drop == nil {
          if step >= 400 { passed[index] += run.byteCount }
        }
      }
    }
    let total = passed.reduce(0, +) / 20
    #expect((Self.limit * 9 / 10...Self.limit * 11 / 10).contains(total), "\(total)")
    // The allocations of one user have no shares.
    guard limit.hasShares else { return }
    let least = passed.min() ?? 0
    #expect(least * clients.count * 2 > total * 20, "\(passed.map { $0 / 20 })")
  }
}
