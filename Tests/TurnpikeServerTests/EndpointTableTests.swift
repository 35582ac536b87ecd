import NetworkTypes
import TURN
import Testing

@testable import TurnpikeServer

@Suite("Numbers of endpoints")
struct EndpointTableTests {
  @Test("Unused numbers are given out again, and used ones keep their endpoint")
  func reclaiming() throws {
    var table = EndpointTable()
    func address(_ number: Int) -> IPAddress { IPAddress(ipv4: 0x7F00_0000 | UInt32(number)) }
    var first: [EndpointID] = []
    for number in 0..<65_536 {
      guard let id = table.id(listener: ListenerNumber(rawValue: 0), source: address(number)) else { break }
      first.append(id)
    }
    #expect(Set(first).count == 65_536)
    do {
      let id = table.id(listener: ListenerNumber(rawValue: 0), source: address(70_000))
      #expect(id == nil)
    }
    #expect(table.isNearlyFull)
    table.reclaim(keeping: [first[7], first[65_535]])
    #expect(!table.isNearlyFull)
    do {
      let id = table.id(listener: ListenerNumber(rawValue: 0), source: address(7))
      #expect(id == first[7])
    }
    do {
      let id = table.id(listener: ListenerNumber(rawValue: 0), source: address(65_535))
      #expect(id == first[65_535])
    }
    let added = table.id(listener: ListenerNumber(rawValue: 3), source: address(70_000))
    let new = try #require(added)
    #expect(new != first[7] && new != first[65_535])
    #expect(table.endpoint(new).listener == ListenerNumber(rawValue: 3))
    #expect(table.endpoint(first[7]).source == address(7))
    // A free number is given to only one address.
    let returned = table.id(listener: ListenerNumber(rawValue: 0), source: address(8))
    let old = try #require(returned)
    for number in 100_000..<165_532 { _ = table.id(listener: ListenerNumber(rawValue: 1), source: address(number)) }
    #expect(table.endpoint(old).source == address(8))
    do {
      let id = table.id(listener: ListenerNumber(rawValue: 1), source: address(200_000))
      #expect(id == nil)
    }
  }
}
