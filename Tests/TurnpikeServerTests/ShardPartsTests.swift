import NetIO
import NetworkTypes
import System
import TURN
import Tables
import Testing

@testable import TurnpikeServer

private let loopback = SocketAddress(.ipv4Loopback, port: 0)
private let start = Instant(nanoseconds: 1_000_000_000)

/// Copies a property of a noncopyable type, which `#expect` cannot access itself.
private func value<Value>(_ value: Value) -> Value { value }

/// Both ends of TCP connections over loopback.
private struct Streams: ~Copyable {
  let listener: StreamListener

  init() throws { listener = try StreamListener(listeningOn: loopback) }

  func connect() throws -> StreamSocket {
    let local = listener.localAddress
    let address = try #require(local)
    let client = try ClientSocket.tcp(to: address)
    let accepted = try listener.accept()
    guard let accepted else { throw Errno.connectionRefused }
    _ = consume client
    return accepted
  }

  func connection() throws -> Connection {
    let socket = try connect()
    let path = ClientPath(address: socket.remote, endpoint: EndpointID(rawValue: 0), transport: .tcp)
    return Connection(socket: socket, path: path, now: start)
  }
}

@Suite("UDP listeners of a shard")
struct DatagramListenersTests {
  private let source = SocketAddress(.ipv4Loopback, port: 6000)

  private func listeners(_ plans: [ListenerPlan]) -> DatagramListeners {
    var listeners = DatagramListeners(count: plans.count)
    var next: UInt32 = 0
    for (number, plan) in plans.enumerated() where !plan.transport.isStream {
      let record = DatagramListener(plan, number: ListenerNumber(rawValue: number), isWildcard: false)
      listeners.append(record, socket: Slot(index: next))
      next += 1
    }
    return listeners
  }

  @Test("A datagram listener's number finds its socket, a stream listener's number finds none")
  func numbers() {
    let found = listeners([
      ListenerPlan(transport: .tcp, address: loopback, auto: false),
      ListenerPlan(transport: .udp, address: loopback, auto: false, realm: RealmID(rawValue: 3)),
      ListenerPlan(transport: .dtls, address: loopback, auto: false),
      ListenerPlan(transport: .udp, address: loopback, auto: true),
    ])
    #expect(found.socket(of: ListenerNumber(rawValue: 0)) == nil)
    #expect(found.socket(of: ListenerNumber(rawValue: 1)) == Slot(index: 0))
    #expect(found.socket(of: ListenerNumber(rawValue: 3)) == Slot(index: 2))
    #expect(found[Slot(index: 0)].realm.rawValue == 3 && found[Slot(index: 0)].number == ListenerNumber(rawValue: 1))
    #expect(found.contains(Slot(index: 2)) && !found.contains(Slot(index: 3)))
  }

  @Test("A listener takes plain UDP only, DTLS only, or both")
  func schemes() {
    let found = listeners([
      ListenerPlan(transport: .udp, address: loopback, auto: false),
      ListenerPlan(transport: .dtls, address: loopback, auto: false),
      ListenerPlan(transport: .udp, address: loopback, auto: true),
    ])
    let schemes = (0..<3).map { index in
      [found[Slot(index: UInt32(index))].acceptsPlain, found[Slot(index: UInt32(index))].acceptsSecure]
    }
    #expect(schemes == [[true, false], [false, true], [true, true]])
  }

  @Test("UDP_GRO is requested once, after bursts of one size from one source")
  func merging() {
    var found = listeners([ListenerPlan(transport: .udp, address: loopback, auto: false)])
    let socket = Slot<UDPSocket>(index: 0)
    var asked = 0
    // Datagrams of different sizes, sources or turns are no burst.
    for number in 0..<2000 {
      if found.countRun(socket, source, number) { asked += 1 }
      if found.countRun(socket, SocketAddress(.ipv4Loopback, port: UInt16(number)), number) { asked += 1 }
      found.beginTurn()
      if found.countRun(socket, SocketAddress(.ipv4Loopback, port: UInt16(number)), number) { asked += 1 }
    }
    #expect(asked == 0)
    for number in 0...(DatagramListeners.runsBeforeMerging + 100) {
      if found.countRun(socket, source, 172) {
        asked += 1
        #expect(number == DatagramListeners.runsBeforeMerging)
      }
    }
    #expect(asked == 1)
  }
}

@Suite("Stream clients of a shard")
struct StreamClientsTests {
  @Test("Each connection with output is taken once, also one that is marked meanwhile, and a closed one never")
  func dirty() throws {
    let sockets = try Streams()
    var clients = StreamClients(context: nil)
    let first = clients.insert(try sockets.connection())
    let second = clients.insert(try sockets.connection())
    let third = clients.insert(try sockets.connection())
    clients.markDirty(first)
    clients.markDirty(second)
    clients.markDirty(first)
    _ = clients.remove(second)
    var taken: [Slot<Connection>] = []
    while let connection = clients.takeDirty() {
      taken.append(connection)
      if connection == first, taken.count == 1 { clients.markDirty(third) }
    }
    #expect(taken == [first, third])
    // A new connection in the slot of a closed one does not inherit its dirty mark.
    clients.markDirty(third)
    _ = clients.remove(third)
    let again = clients.insert(try sockets.connection())
    let next = clients.takeDirty()
    #expect(again == third && next == nil)
  }

  @Test("A sweep in which closing one connection closes others continues with the rest")
  func sweep() throws {
    let sockets = try Streams()
    var clients = StreamClients(context: nil)
    let slots = [
      clients.insert(try sockets.connection()), clients.insert(try sockets.connection()),
      clients.insert(try sockets.connection()), clients.insert(try sockets.connection()),
    ]
    var walk = SlotWalk<Connection>()
    var visited: [Slot<Connection>] = []
    while let connection = clients.next(&walk) {
      visited.append(connection)
      // Closing the first connection closes the second, and closing the last closes the third, as a control connection
      // does with its data connection.
      if connection == slots[0] { for gone in slots[0...1] { _ = clients.remove(gone) } }
      if connection == slots[3] { for gone in slots[2...3] { _ = clients.remove(gone) } }
    }
    #expect(visited == [slots[0], slots[2], slots[3]] && clients.count == 0)
  }

  @Test("A handle finds its connection until the connection is closed")
  func handles() throws {
    let sockets = try Streams()
    var clients = StreamClients(context: nil)
    let slot = clients.insert(try sockets.connection())
    let handle = clients.handle(of: slot)
    let found = clients.slot(of: handle)
    #expect(found == slot && clients.count == 1)
    _ = clients.remove(slot)
    let gone = clients.slot(of: handle)
    #expect(gone == nil && clients.count == 0)
  }

  @Test("At the limit of an address or of all, the oldest handshake of the heaviest address ends")
  func handshakes() {
    var clients = StreamClients(context: nil)
    func handle(_ number: Int) -> Handle<Connection> { Handle(index: UInt32(number), generation: 1) }
    let one = IPAddress(ipv4: 0x0A00_0001)
    for number in 0..<StreamClients.unfinishedPerAddress {
      #expect(value(clients.unfinishedVictim(for: one)) == nil)
      clients.unfinished.append(handle(number), from: one)
    }
    #expect(value(clients.unfinishedVictim(for: one)) == handle(0))
    #expect(value(clients.unfinishedVictim(for: IPAddress(ipv4: 0x0A00_0002))) == nil)
    for number in StreamClients.unfinishedPerAddress..<StreamClients.unfinishedLimit {
      clients.unfinished.append(handle(number), from: IPAddress(ipv4: UInt32(number) << 8))
    }
    #expect(value(clients.unfinishedVictim(for: .ipv4Loopback)) == handle(0))
  }

  @Test("A moving or pausing connection is taken once")
  func taking() throws {
    let sockets = try Streams()
    var clients = StreamClients(context: nil)
    let slot = clients.insert(try sockets.connection())
    clients.move(slot, Connection.Move(shard: 1, message: [1, 2, 3]))
    #expect(clients[slot].move?.shard == 1)
    let leaving = clients.takeLeaving()
    let handle = clients.handle(of: slot)
    #expect(leaving == [handle] && clients.takeLeaving().isEmpty)

    let number = ListenerNumber(rawValue: 4)
    let listener = clients.add(try StreamListener(listeningOn: loopback), number: number)
    let found = clients.slot(of: listener)
    let listenerSlot = try #require(found)
    #expect(clients[listenerSlot].number == number && !clients.hasPausedListeners)
    clients.pause(listenerSlot)
    #expect(value(clients.hasPausedListeners))
    let paused = clients.takePausedListeners()
    #expect(paused == [listenerSlot] && !clients.hasPausedListeners)
  }
}

@Suite("TCP relays of a shard")
struct TCPRelaysTests {
  private func id<Element>(_ index: UInt32) -> Handle<Element> { Handle(index: index, generation: 1) }

  @Test("Listeners and pipes are found by their relay's handle until they are closed")
  func names() throws {
    let sockets = try Streams()
    var relays = TCPRelays()
    let listener = relays.insert(RelayListener(id: id(5), socket: try StreamListener(relayingOn: loopback)))
    relays.pause(listener)
    relays.removeListener(id(5))
    relays.removeListener(id(6))
    let closed = relays.slot(of: listener)
    #expect(closed == nil && relays.takePausedListeners() == [listener] && relays.takePausedListeners().isEmpty)

    let pipe = relays.insert(Pipe(id: id(7), socket: try sockets.connect(), state: .unbound, now: start))
    #expect(relays.pipe(ofPeerConnection: id(7)) == pipe && relays.pipeCount == 1)
    relays.remove(pipe)
    #expect(relays.pipe(ofPeerConnection: id(7)) == nil && relays.pipeCount == 0)
  }

  @Test("A pipe waits for bandwidth on each side separately, and resumes when the first side may send")
  func bandwidth() throws {
    let sockets = try Streams()
    var relays = TCPRelays()
    let pipe = relays.insert(Pipe(id: id(1), socket: try sockets.connect(), state: .bound, now: start))
    let handle = relays.handle(of: pipe)
    relays.throttle(pipe, .peer, for: .zero, now: start)
    #expect(relays.nextResume == nil)
    relays.throttle(pipe, .peer, for: .nanoseconds(100), now: start)
    relays.throttle(pipe, .client, for: .nanoseconds(300), now: start)
    relays.throttle(pipe, .client, for: .nanoseconds(400), now: start)
    #expect(relays.nextResume == Instant(nanoseconds: start.nanoseconds + 100))
    let early = relays.takeResumable(now: Instant(nanoseconds: start.nanoseconds + 99))
    #expect(early.isEmpty)
    let first = relays.takeResumable(now: Instant(nanoseconds: start.nanoseconds + 100))
    #expect(first == [handle] && relays.nextResume == Instant(nanoseconds: start.nanoseconds + 400))
    let second = relays.takeResumable(now: Instant(nanoseconds: start.nanoseconds + 400))
    #expect(second == [handle] && relays.nextResume == nil)
  }

  @Test("A closed pipe does not resume")
  func closed() throws {
    let sockets = try Streams()
    var relays = TCPRelays()
    let pipe = relays.insert(Pipe(id: id(1), socket: try sockets.connect(), state: .bound, now: start))
    relays.throttle(pipe, .peer, for: .nanoseconds(100), now: start)
    relays.remove(pipe)
    let resumable = relays.takeResumable(now: start.advanced(by: .seconds(1)))
    #expect(resumable.isEmpty && relays.nextResume == nil)
  }
}

@Suite("Times of a shard's metrics")
struct ShardMetricsTests {
  @Test("The alarm for a publication rings when a turn may publish, and not before")
  func publication() {
    var metrics = ShardMetrics()
    metrics.nextPublication = start
    metrics.nextSample = start.advanced(by: .milliseconds(7))
    var time = metrics.publicationTime
    #expect(time == start.advanced(by: .milliseconds(7)))
    metrics.nextPublication = start.advanced(by: .milliseconds(90))
    time = metrics.publicationTime
    #expect(time == start.advanced(by: .milliseconds(90)))
    metrics.isStale = false
    time = metrics.publicationTime
    #expect(time == nil)
  }
}
