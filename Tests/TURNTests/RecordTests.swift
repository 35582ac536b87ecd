import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

/// Tests the parts of a relay separately.
@Suite("Records of the relay")
struct RecordTests {
  private static let start = Instant(nanoseconds: 1_000_000_000)

  private func peer(_ text: String) throws -> PeerAddress { PeerAddress(try #require(SocketAddress(text))) }

  private func client(_ text: String, endpoint: UInt16 = 0) throws -> ClientPath {
    ClientPath(
      address: try #require(SocketAddress(text)), endpoint: EndpointID(rawValue: endpoint), transport: .udp)
  }

  private func channel(_ number: UInt16, _ peer: PeerAddress, of allocation: UInt32) -> Channel {
    Channel(
      allocation: Slot(index: allocation), number: number, verdict: .allowed, isTranslated: false,
      expiresAt: Self.start.advanced(by: .seconds(600)), peer: peer, permission: Handle(index: 0, generation: 1),
      rulesGeneration: 0)
  }

  @Test("A channel is found by number, by peer and as the last used one, in its own allocation only")
  func channels() throws {
    var seeds = SeededGenerator(seed: [1])
    var channels = ChannelTable(seeds: &seeds)
    var timers = TimerWheel(now: Self.start)
    var lists = [OwnedList<Channel>(), OwnedList<Channel>()]
    let peer = try self.peer("192.0.2.1:5000")
    let other = try self.peer("192.0.2.1:5001")
    let first = channels.insert(channel(0x4000, peer, of: 0), to: &lists[0], timers: &timers)
    let second = channels.insert(channel(0x4001, other, of: 0), to: &lists[0], timers: &timers)
    let third = channels.insert(channel(0x4000, peer, of: 1), to: &lists[1], timers: &timers)
    #expect(Set([first, second, third]).count == 3)

    var recent = OptionalSlot<Channel>()
    let found = [
      channels.find(0x4000, of: Slot(index: 0), recent: &recent), recent.slot,
      channels.find(0x4001, of: Slot(index: 0), recent: &recent), recent.slot,
      channels.find(peer, of: Slot(index: 1), recent: &recent), recent.slot,
      // The most recently used channel belongs to another allocation.
      channels.find(0x4000, of: Slot(index: 0), recent: &recent),
      channels.find(0x4001, of: Slot(index: 1), recent: &recent),
    ]
    #expect(found == [first, first, second, second, third, third, first, nil])

    channels.remove(first, from: &lists[0], timers: &timers)
    recent = OptionalSlot(first)
    let left = [
      channels.find(0x4000, of: Slot(index: 0), recent: &recent), channels.find(peer, of: Slot(index: 0)),
      channels.find(other, of: Slot(index: 0)), channels.find(peer, of: Slot(index: 1)),
    ]
    #expect(left == [nil, nil, second, third])
    #expect(lists.map(\.count) == [1, 1])
    channels.remove(second, from: &lists[0], timers: &timers)
    channels.remove(third, from: &lists[1], timers: &timers)
    let rest = channels.count + timers.count
    #expect(rest == 0)
  }

  @Test("Permissions are found by address and listed by allocation, and a stale handle finds nothing")
  func permissions() throws {
    var seeds = SeededGenerator(seed: [2])
    var permissions = PermissionTable(seeds: &seeds)
    var timers = TimerWheel(now: Self.start)
    var list = OwnedList<Permission>()
    let addresses = (0..<3).map { IPAddress(198, 51, 100, UInt8($0)) }
    var slots: [Slot<Permission>] = []
    for address in addresses {
      let permission = Permission(
        allocation: Slot(index: 5), address: address, expiresAt: Self.start, verdict: .allowed, rulesGeneration: 0)
      slots.append(permissions.insert(permission, to: &list, timers: &timers))
    }
    let found = addresses.map { permissions.find($0, of: Slot(index: 5)) }
    let foreign = addresses.map { permissions.find($0, of: Slot(index: 4)) }
    #expect(found == slots && foreign == [nil, nil, nil])

    var walked: [Slot<Permission>] = []
    var next = list.first
    while let slot = next {
      walked.append(slot)
      next = permissions.next(after: slot, in: list)
    }
    #expect(walked == slots.reversed())

    let handle = permissions.handle(of: slots[1])
    permissions.remove(slots[1], from: &list, timers: &timers)
    let isGone = permissions.slot(of: handle) == nil && permissions.find(addresses[1], of: Slot(index: 5)) == nil
    let counts = [permissions.count, Int(list.count), timers.count]
    #expect(isGone && counts == [2, 2, 2])
  }

  @Test("A peer connection is bound by its CONNECTION-ID once, until it expires")
  func peerConnections() throws {
    var seeds = SeededGenerator(seed: [3])
    var connections = PeerConnectionTable(seeds: &seeds)
    var timers = TimerWheel(now: Self.start)
    var list = OwnedList<PeerConnection>()
    let peer = try self.peer("[2001:db8::9]:80")
    let client = try self.client("192.0.2.7:4000")
    let deadline = Self.start.advanced(by: .seconds(30))
    let slot = connections.insert(
      PeerConnection(allocation: Slot(index: 0), peer: peer, state: .connecting, expiresAt: deadline),
      for: ConnectRequest(
        client: client, transactionID: TransactionID(high: 1, low: 2), principal: .anonymous, hasFingerprint: false),
      to: &list, timers: &timers)
    let waiting = connections.waitingClients
    #expect(waiting == [client])
    let request = connections.takeRequest(of: slot)
    let again = connections.takeRequest(of: slot)
    #expect(request?.client == client && again == nil)

    let early = connections.find(unbound: 77, now: Self.start)
    connections.awaitBind(slot, as: 77, until: deadline, timers: &timers)
    let found = connections.find(unbound: 77, now: Self.start)
    let late = connections.find(unbound: 77, now: deadline)
    let other = connections.find(unbound: 78, now: Self.start)
    #expect([early, found, late, other] == [nil, slot, nil, nil])
    connections.bind(slot, timers: &timers)
    let bound = connections.find(unbound: 77, now: Self.start)
    let timersLeft = timers.count
    #expect(bound == nil && timersLeft == 0)
    connections.remove(slot, from: &list, timers: &timers)
    let left = connections.count + connections.indexedCount + Int(list.count)
    #expect(left == 0)
  }

  @Test("Requests wait within their limits, and leave no record")
  func pendingRequests() throws {
    let memory = StrangersMemory(limit: .zero)
    var pending = PendingRequests(memory: memory)
    var timers = TimerWheel(now: Self.start)
    let client = try self.client("192.0.2.7:4000", endpoint: 3)
    var tickets: [Handle<PendingRequest>] = []
    for number in 0..<3 {
      let request = PendingRequest(
        bytes: [UInt8(number)], client: client, transactionID: TransactionID(high: 0, low: UInt64(number)),
        arrivedAt: Self.start)
      let ticket = pending.insert(request, isProven: number == 0, now: Self.start, timers: &timers)
      tickets.append(try #require(ticket))
    }
    #expect(memory.byteCount == 2 * (PendingRequest.overhead + 1))
    let facts = [
      pending.contains(client, TransactionID(high: 0, low: 2)),
      pending.contains(try self.client("192.0.2.7:4001"), TransactionID(high: 0, low: 2)),
      pending.isFull(for: client, limit: 100, perSource: 3), pending.isFull(for: client, limit: 100, perSource: 4),
      pending.isFull(for: client, limit: 3, perSource: 100),
    ]
    #expect(facts == [true, false, true, false, true])
    let endpoints = pending.endpoints.map(\.rawValue)
    #expect(endpoints == [3])
    let ofClient = Set(pending.tickets(of: client))
    #expect(ofClient == Set(tickets))
    let removed = tickets.map { pending.remove($0, timers: &timers)?.bytes }
    #expect(removed == [[0], [1], [2]] && memory.byteCount == 0)
    let again = pending.remove(tickets[0], timers: &timers) == nil
    let left = pending.count + timers.count
    #expect(again && left == 0)
  }

  @Test("A moved client is forwarded until it has been silent for its lifetime")
  func movedClients() throws {
    var seeds = SeededGenerator(seed: [4])
    var moved = MovedClientTable(seeds: &seeds)
    var timers = TimerWheel(now: Self.start)
    let client = try self.client("192.0.2.7:4000", endpoint: 9)
    moved.insert(client, owner: 2, user: 7, now: Self.start, lifetime: .seconds(600), timers: &timers)
    let endpoints = moved.endpoints.map(\.rawValue)
    #expect(endpoints == [9])
    let busy = Self.start.advanced(by: .seconds(500))
    let owner = moved.owner(of: client, now: busy)
    let stranger = moved.owner(of: try self.client("192.0.2.8:4000", endpoint: 9), now: busy)
    #expect(owner == 2 && stranger == nil)
    var counts: [Int] = []
    for seconds in [601 as UInt32, 1101] {
      let now = Self.start.advanced(by: .seconds(seconds))
      while case .movedClient(let handle)? = timers.popDue(now: now) {
        moved.expire(handle, now: now, lifetime: .seconds(600), timers: &timers)
      }
      counts.append(moved.count)
    }
    let timersLeft = timers.count
    #expect(counts == [1, 0] && timersLeft == 0)
  }

  @Test("Commands leave the queue in order")
  func commandQueue() {
    var commands = CommandQueue()
    #expect(commands.isEmpty && commands.pop() == nil)
    for index in UInt32(0)..<3 { commands.append(.closeRelayPort(Handle(index: index, generation: 1))) }
    var order: [UInt32] = []
    while case .closeRelayPort(let port)? = commands.pop() { order.append(port.index) }
    #expect(order == [0, 1, 2] && commands.isEmpty)
  }

  @Test("A realm has its own offer and bandwidth, and an unknown number gives the default realm's")
  func realms() {
    var settings = RelaySettings()
    var second = RealmSettings()
    second.name = Array("second".utf8)
    second.secrets = [[1, 2, 3]]
    second.limits.bandwidthPerAllocation = .bytesPerSecond(1000)
    settings.realms.append(second)
    let table = RealmTable(settings)
    let names = [0, 1, 9].map { String(decoding: table[RealmID(rawValue: $0)].settings.name, as: UTF8.self) }
    #expect(names == ["turnpike", "second", "turnpike"])
    #expect(table.limitsBandwidth)
    #expect([0, 1, 9].map { table.bandwidth(of: RealmID(rawValue: $0)).isUnlimited } == [true, false, true])
    // USERHASH is not offered if passwords come from a shared secret.
    #expect(table[.default].offer.cookie != table[RealmID(rawValue: 1)].offer.cookie)
  }
}
