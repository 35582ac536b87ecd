import NetworkTypes
import Tables
import Testing

@testable import TURN

@Suite("Mobility tickets")
struct MobilityTicketTests {
  @Test("10,000 tickets are all different and without zero bytes, and open on any shard with no other key")
  func sealing() throws {
    var tickets = MobilityTickets(key: [1, 2, 3], shard: 3, start: MobilityTickets.counterBound - 5)
    let other = MobilityTickets(key: [1, 2, 3], shard: 0, start: 7)
    let foreign = MobilityTickets(key: [1, 2, 4], shard: 3, start: 0)
    var seen: Set<[UInt8]> = []
    for number in UInt32(0)..<10_000 {
      let ticket = MobilityTicket(
        shard: 3, allocation: Handle(index: number, generation: .max - number), epoch: UInt16(number), user: 0x1234)
      let sealed = tickets.seal(ticket)
      #expect(sealed.count == MobilityTickets.byteCount)
      guard !sealed.contains(0), seen.insert(sealed).inserted, other.open(sealed.span.rawBytes) == ticket,
        foreign.open(sealed.span.rawBytes) == nil
      else {
        Issue.record("ticket \(number)")
        return
      }
    }
  }
}
