import NetIO
import NetworkTypes
import System
import TLS
import TURN
import Tables
import Testing

@testable import TurnpikeServer

private let start = Instant(nanoseconds: 1_000_000_000)

/// Copies a property of a noncopyable type, which `#expect` cannot access itself.
private func value<Value>(_ value: Value) -> Value { value }

@Suite("DTLS clients of a shard")
struct SecureDatagramClientsTests {
  private static func context() throws -> TLSContext {
    let made = try SelfSignedCertificate(
      commonName: "turnpike", hostNames: ["localhost"], addresses: [], now: Now.read().wall)
    let files = try CertificateFiles(
      chain: .bytes(made.certificate, name: "chain"), key: .bytes(made.key, name: "key"))
    return try TLSContext(server: files, isDatagram: true)
  }

  private func path(_ port: UInt16) -> ClientPath {
    ClientPath(
      address: SocketAddress(.ipv4Loopback, port: port), endpoint: EndpointID(rawValue: 0), transport: .udp)
  }

  @Test("Without a DTLS context there are no associations")
  func none() {
    var clients = SecureDatagramClients(context: nil, cookieKey: HelloCookieKey([]))
    let slot = clients.adopt(path(1), helloRandom: [], now: start)
    #expect(slot == nil && clients.count == 0 && clients.nextTick == .distantFuture)
  }

  @Test(
    "A ClientHello has a cookie if it is long enough and its cookie is not empty",
    arguments: [
      ([0, 0], false), ([0, 1], true), ([0], false), ([], false), ([2, 9, 9, 0], false), ([2, 9, 9, 20], true),
      ([255], false), ([32, 1], false),
    ] as [([UInt8], Bool)])
  func cookie(end: [UInt8], expected: Bool) {
    let hello = [UInt8](repeating: 7, count: 59) + end
    #expect(SecureDatagramClients.hasCookie(hello.span.rawBytes) == expected)
  }

  @Test("An association is found by its client's address and by its handle")
  func finding() throws {
    var clients = SecureDatagramClients(context: try Self.context(), cookieKey: HelloCookieKey([1]))
    let adopted = clients.adopt(path(7), helloRandom: [9], now: start)
    let slot = try #require(adopted)
    let handle = clients.handle(of: slot)
    #expect(
      clients[slot].path.transport == .dtls && clients[slot].path.connection == Handle<EngineConnection>(sameAs: handle)
    )
    #expect(clients.find(SecureDatagramClients.Client(path(7))) == slot)
    #expect(clients.find(SecureDatagramClients.Client(path(8))) == nil)
    clients.remove(slot)
    let gone = clients.slot(of: handle)
    #expect(clients.find(SecureDatagramClients.Client(path(7))) == nil && gone == nil)
  }

  @Test("At an address's limit the oldest unfinished handshake ends; complete ones do not count")
  func handshakes() throws {
    var clients = SecureDatagramClients(context: try Self.context(), cookieKey: HelloCookieKey([1]))
    var slots: [Slot<Association>] = []
    for port in 0..<SecureDatagramClients.unfinishedPerAddress {
      #expect(value(clients.victim(for: .ipv4Loopback)) == nil)
      let adopted = clients.adopt(path(UInt16(port)), helloRandom: [], now: start)
      slots.append(try #require(adopted))
    }
    let oldest = clients.handle(of: slots[0])
    #expect(value(clients.victim(for: .ipv4Loopback)) == oldest)
    #expect(value(clients.victim(for: IPAddress(ipv4: 0x0A00_0001))) == nil)
    clients.setEstablished(slots[0])
    #expect(value(clients.victim(for: .ipv4Loopback)) == nil)
    // An established association was counted when its handshake ended, and is not counted again.
    clients.remove(slots[0])
    clients.remove(slots[1])
    let unfinished = clients.takeHandshakes(now: start)
    #expect(unfinished.count == slots.count - 2)
    #expect(clients.nextTick == start.advanced(by: SecureDatagramClients.tick))
    for slot in slots.dropFirst(2) { clients.remove(slot) }
    let left = clients.takeHandshakes(now: start)
    #expect(left.isEmpty && clients.nextTick == .distantFuture && clients.strangers.isEmpty)
  }

  @Test("Datagrams that wait for an engine count as memory of their client until the engine has read them")
  func waitingDatagrams() throws {
    var clients = SecureDatagramClients(context: try Self.context(), cookieKey: HelloCookieKey([1]))
    let adopted = clients.adopt(path(7), helloRandom: [], now: start)
    let slot = try #require(adopted)
    let engine = value(clients[slot].heldByteCount)
    #expect(engine > 0)
    let taken = clients[slot].engine.take()
    clients[slot].waiting = [[UInt8](repeating: 1, count: 1000), [UInt8](repeating: 2, count: 500)]
    #expect(value(clients[slot].heldByteCount) == engine + 1500)
    let lent = clients[slot].lend()
    clients[slot].waiting = [[UInt8](repeating: 3, count: 70)]
    #expect(lent.count == 2)
    #expect(value(clients[slot].heldByteCount) == engine + 1570)
    clients[slot].lentByteCount = 0
    clients[slot].waiting = []
    clients[slot].engine = consume taken
    #expect(value(clients[slot].heldByteCount) == engine)
  }

  @Test("The handshakes of a shard at their limit, with all datagrams that wait, fit into strangers' memory")
  func limitOfHandshakes() throws {
    var clients = SecureDatagramClients(context: try Self.context(), cookieKey: HelloCookieKey([1]))
    let adopted = clients.adopt(path(7), helloRandom: [], now: start)
    let slot = try #require(adopted)
    let waiting = Association.waitingLimit * Association.longestHandshakeDatagram
    let each = value(clients[slot].heldByteCount) + waiting
    // The default of limits.strangers-memory.
    #expect(SecureDatagramClients.unfinishedLimit * each < 32 << 20)
  }
}
