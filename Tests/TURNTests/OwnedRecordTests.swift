import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

/// Tests the tables of allocations, relay ports and reservations separately.
@Suite("Allocations, relay ports and reservations")
struct OwnedRecordTests {
  private static let start = Instant(nanoseconds: 1_000_000_000)
  private static let address = IPAddress(192, 0, 2, 1)

  private func client(_ port: UInt16) -> ClientPath {
    ClientPath(
      address: SocketAddress(IPAddress(198, 51, 100, 7), port: port), endpoint: EndpointID(rawValue: 0),
      transport: .udp)
  }

  private func allocation(of client: ClientPath) -> Allocation {
    Allocation(client: client, transport: .udp, expiresAt: Self.start, details: .unread)
  }

  private func port(_ number: UInt16, _ transport: RelayTransport = .udp) -> RelayPort {
    RelayPort(
      address: RelayedAddress(0, number), advertised: Self.address, family: .ipv4, transport: transport,
      ticket: Handle(index: 0, generation: 1), expiresAt: Self.start, claimsNext: false)
  }

  @Test("An allocation is found by each of its five-tuples, and by none after its end")
  func fiveTuples() throws {
    var seeds = SeededGenerator(seed: [6])
    var allocations = AllocationTable(seeds: &seeds)
    let first = allocations.insert(allocation(of: client(1)))
    let second = allocations.insert(allocation(of: client(2)))
    let handle = allocations.handle(of: first)
    // During a move the allocation has the old five-tuple and the new one (RFC 8016).
    allocations[first].details.mobility = Mobility()
    allocations[first].details.mobility?.pending = client(3)
    allocations.add(client(3), to: first)
    allocations.add(client(4), to: second)
    allocations.forget(client(4))
    let found = (1...4).map { allocations.find(client($0)) }
    let counts = [allocations.count, allocations.fiveTupleCount]
    #expect(found == [first, second, first, nil])
    #expect(counts == [2, 3])

    allocations.remove(first)
    let left = (1...3).map { allocations.find(client($0)) }
    let stale = allocations.slot(of: handle)
    #expect(left == [nil, second, nil] && stale == nil)
    allocations.remove(second)
    let rest = allocations.count + allocations.fiveTupleCount
    #expect(rest == 0)
  }

  @Test("A relay port is found by its address while it is live, and only over UDP")
  func relayPorts() throws {
    var seeds = SeededGenerator(seed: [7])
    var ports = RelayPortTable(seeds: &seeds)
    let handles = [ports.insert(port(50_000)), ports.insert(port(50_001, .tcp))]
    let keys = [FlatKey(50_000), FlatKey(50_001)]
    let slots = handles.compactMap { ports.slot(of: $0) }
    try #require(slots.count == 2)
    let opening = keys.map { ports.find($0) }
    #expect(opening == [nil, nil])
    for (slot, key) in zip(slots, keys) { ports.publish(slot, under: key) }
    let live = keys.map { ports.find($0) }
    #expect(live == [slots[0], nil])
    for (slot, key) in zip(slots, keys) { ports.remove(slot, under: key) }
    let left = keys.map { ports.find($0) }
    let stale = handles.map { ports.slot(of: $0) }
    let count = ports.count
    #expect(left == [nil, nil] && stale == [nil, nil] && count == 0)
  }

  @Test("A discarded relay port leaves no record, and the next one has another handle")
  func discarded() throws {
    var seeds = SeededGenerator(seed: [8])
    var ports = RelayPortTable(seeds: &seeds)
    let first = ports.insert(port(50_000))
    let slot = ports.slot(of: first)
    ports.discard(try #require(slot))
    let second = ports.insert(port(50_000))
    let (stale, count) = (ports.slot(of: first), ports.count)
    #expect(first != second && stale == nil && count == 1)
  }

  @Test("A user holds 16 reservations; one whose token was used no longer counts")
  func reservations() throws {
    let addresses = RelayedAddresses(
      entries: [RelayedAddresses.Entry(local: Self.address, advertised: Self.address)], ports: 50_000...50_099)
    let owner = PortOwner(username: [1], client: client(1))
    let other = PortOwner(username: [2], client: client(1))
    var table = ReservationTable()
    var handles: [Handle<Reservation>] = []
    for number in 0..<UInt16(ReservationTable.limit) {
      let before = table.hasRoom(for: owner, in: addresses)
      #expect(before)
      let address = RelayedAddress(0, 50_001 + 2 * number)
      #expect(addresses.claim(address, for: owner, now: Self.start, ignoresQuarantine: false))
      let stamp = addresses.reserve(address, now: Self.start)
      handles.append(
        table.insert(Reservation(address: address, stamp: stamp, owner: owner.tag, expiresAt: Self.start)))
    }
    let full = [table.hasRoom(for: owner, in: addresses), table.hasRoom(for: other, in: addresses)]
    #expect(full == [false, true])
    #expect(addresses.claimReserved(RelayedAddress(0, 50_001)))
    let used = table.hasRoom(for: owner, in: addresses)
    let gone = table.remove(handles[0]) == nil
    #expect(used && gone && addresses.isReserved(RelayedAddress(0, 50_003), stamp: 2))
    for handle in handles.dropFirst() { _ = table.remove(handle) }
    let count = table.count
    #expect(count == 0)
  }
}
