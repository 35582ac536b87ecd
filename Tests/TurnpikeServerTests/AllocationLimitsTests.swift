import Configuration
import Testing

@testable import TurnpikeServer

@Suite("Automatic limits of allocations")
struct AllocationLimitsTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var ports: Int
    var addresses = 1
    var descriptors: UInt64
    var total: UInt32
    var perUser: UInt32
    var perAddress: UInt32
  }

  static let rows = [
    Row(
      testDescription: "the default ports of one address, plenty of descriptors", ports: 16_384,
      descriptors: 1_048_576, total: 16_384, perUser: 4096, perAddress: 2048),
    Row(
      testDescription: "two addresses", ports: 16_384, addresses: 2, descriptors: 1_048_576, total: 32_768,
      perUser: 8192, perAddress: 4096),
    Row(
      testDescription: "1,024 descriptors: a quarter is for connections and files", ports: 16_384, descriptors: 1024,
      total: 768, perUser: 192, perAddress: 96),
    Row(
      testDescription: "256 descriptors: at least 64 are for them", ports: 16_384, descriptors: 256, total: 192,
      perUser: 64, perAddress: 64),
    Row(testDescription: "few ports", ports: 50, descriptors: 65_536, total: 50, perUser: 64, perAddress: 64),
    Row(
      testDescription: "ten descriptors", ports: 50, descriptors: 10, total: 1, perUser: 64, perAddress: 64),
    Row(
      testDescription: "no address was found, and no limit of descriptors", ports: 100, addresses: 0,
      descriptors: .max, total: 100, perUser: 64, perAddress: 64),
  ]

  @Test("Automatic limits follow from ports, addresses and descriptors", arguments: rows)
  func automatic(row: Row) {
    let limits = AllocationLimits(ports: row.ports, addresses: row.addresses, descriptors: row.descriptors)
    #expect([limits.total, limits.perUser, limits.perAddress] == [row.total, row.perUser, row.perAddress])
  }

  @Test("A configured limit wins, 0 is no limit, and the other limits are shares of a given total")
  func configured() {
    let automatic = AllocationLimits(ports: 16_384, addresses: 1, descriptors: 1_048_576)
    func limits(isDefault: Bool = true, _ change: (inout Settings.LimitsSection) -> Void) -> [UInt32] {
      var given = Settings.LimitsSection()
      change(&given)
      let result = automatic.limits(given, isDefault: isDefault)
      return [result.total, result.perUser, result.perAddress]
    }
    #expect(limits { _ in } == [16_384, 4096, 2048])
    #expect(limits { $0.allocations = 0 } == [0, 4096, 2048])
    #expect(limits { $0.allocations = 1000 } == [1000, 250, 125])
    #expect(limits { $0.allocationsPerUser = 3 } == [16_384, 3, 2048])
    #expect(limits { $0.allocationsPerAddress = 0 } == [16_384, 4096, 0])
    // Other realms than the default one have no total limit; the server's limit holds.
    #expect(limits(isDefault: false) { _ in } == [0, 4096, 2048])
    #expect(limits(isDefault: false) { $0.allocations = 400 } == [400, 100, 64])
  }
}
