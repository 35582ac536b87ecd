import NetIO
import NetworkTypes
import Synchronization
import System
import TestSupport
import Testing

@testable import WebServer

@Suite("Memory of an HTTP server's clients")
struct MemoryTests {
  /// A budget that shows what is charged.
  private final class Budget: MemoryBudget {
    private let state = Mutex(0)
    let limit: Int

    init(_ limit: Int = 1 << 30) { self.limit = limit }

    var used: Int { state.withLock { $0 } }
    var isNearlyUsedUp: Bool { used > limit / 4 * 3 }

    func charge(_ byteCount: Int) -> Bool {
      state.withLock { used in
        guard used + byteCount <= limit else { return false }
        used += byteCount
        return true
      }
    }

    func release(_ byteCount: Int) { state.withLock { $0 -= byteCount } }

    /// Whether this becomes true within five seconds: another thread charges.
    func reaches(_ check: (Int) -> Bool) -> Bool {
      let deadline = Instant.read().advanced(by: .seconds(5))
      while Instant.read() < deadline {
        if check(used) { return true }
        Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(5)))
      }
      return false
    }
  }

  private static let answer: HTTPServer.Handler = { _, _ in HTTPResponse(200, text: "fine") }
  private static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
  private static let plain = HTTPServer.plainCost

  private func isServed(_ server: TestServer) throws -> Bool {
    let client = try server.connect()
    try client.send(Self.get)
    return try client.answer().status == 200
  }

  @Test("A connection is charged until it ends, or until its client has shown the token")
  func connections() throws {
    let budget = Budget()
    let server = try TestServer(
      { $0.memory = budget },
      handler: { request, _ in
        var response = HTTPResponse(200, text: "fine")
        response.isForOperator = request.authorization == "Bearer token"
        return response
      })
    let clients = try (0..<3).map { _ in try server.connect() }
    #expect(budget.reaches { $0 == 3 * Self.plain })
    for (client, header) in zip(clients, ["", "Authorization: Bearer wrong\r\n", "Authorization: Bearer token\r\n"]) {
      try client.send("GET / HTTP/1.1\r\nHost: a\r\n\(header)\r\n")
      #expect(try client.answer().status == 200)
    }
    #expect(budget.reaches { $0 == 2 * Self.plain })
    // A request that is not complete shows nothing about its token.
    try clients[1].send("POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token\r\nContent-Length: 3\r\n\r\na")
    #expect(budget.reaches { $0 > 2 * Self.plain })
    clients[0].close()
    clients[1].close()
    clients[2].close()
    #expect(budget.reaches { $0 == 0 })
  }

  @Test("A body is charged as it comes, and released with its answer; beyond the budget its connection ends")
  func bodies() throws {
    let budget = Budget(Self.plain * 2 + 40_000)
    let server = try TestServer({ $0.memory = budget }, handler: Self.answer)
    let client = try server.connect()
    try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
    try client.send([UInt8](repeating: 120, count: 9000))
    #expect(budget.reaches { $0 >= Self.plain + 9000 })
    try client.send([UInt8](repeating: 120, count: 1000))
    #expect(try client.answer().status == 200)
    #expect(budget.reaches { $0 == Self.plain })
    let heavy = try server.connect()
    try heavy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
    try? heavy.send([UInt8](repeating: 120, count: 59_000))
    #expect(heavy.ends())
    #expect(try isServed(server))
    client.close()
    #expect(budget.reaches { $0 == 0 })
  }

  @Test("An answer that its client does not read is charged")
  func unreadAnswers() throws {
    let budget = Budget(1 << 20)
    let large = [UInt8](repeating: 120, count: 2 << 20)
    let server = try TestServer({ $0.memory = budget }) { request, _ in
      request.path == "/large" ? HTTPResponse(200, "text/plain", large) : HTTPResponse(200, text: "fine")
    }
    let client = try server.connect()
    try client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(client.ends())
    #expect(try isServed(server))
  }

  @Test("When little is left the oldest connection of the heaviest client gives way, and others are served")
  func heaviest() throws {
    let reports = Mutex<[IPAddress]>([])
    let budget = Budget(8 * Self.plain)
    let server = try TestServer(
      {
        $0.memory = budget
        $0.report = { limit, client in reports.withLock { if limit == .memory { $0.append(client) } } }
      }, handler: Self.answer)
    let (hostile, other) = (IPAddress(127, 0, 0, 2), IPAddress(127, 0, 0, 3))
    let innocent = try (0..<2).map { _ in try server.connect(from: other) }
    #expect(budget.reaches { $0 == 2 * Self.plain })
    let silent = try (0..<4).map { _ in try server.connect(from: hostile) }
    #expect(budget.reaches { $0 == 6 * Self.plain })
    #expect(reports.withLock { $0.isEmpty })
    for _ in 0..<20 { #expect(try isServed(server)) }
    #expect(silent[0].ends(seconds: 1) && innocent.allSatisfy { !$0.hears(milliseconds: 1) })
    #expect(!reports.withLock { $0.isEmpty })
    for client in silent + innocent { client.close() }
    #expect(budget.reaches { $0 == 0 })
  }

  @Test("A client that goes on sending a body gives way like a silent one")
  func busyVictims() throws {
    let budget = Budget(8 * Self.plain)
    let server = try TestServer({ $0.memory = budget }, handler: Self.answer)
    let busy = try (0..<4).map { _ in try server.connect(from: IPAddress(127, 0, 0, 2)) }
    #expect(budget.reaches { $0 == 4 * Self.plain })
    for client in busy {
      try? client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
      try? client.send([UInt8](repeating: 120, count: 1000))
    }
    // Each part would let libwebsockets forget that the connection is to be closed.
    for _ in 0..<58 {
      for client in busy { try? client.send([UInt8](repeating: 120, count: 1000)) }
    }
    #expect(budget.reaches { $0 <= 6 * Self.plain })
    #expect(busy.contains { $0.ends(seconds: 1) })
    for _ in 0..<3 { #expect(try isServed(server)) }
    for client in busy { client.close() }
    #expect(budget.reaches { $0 == 0 })
  }

  @Test("A server that ends releases the charges of its connections")
  func end() throws {
    let budget = Budget()
    var server: TestServer? = try TestServer({ $0.memory = budget }, handler: Self.answer)
    let client = try server?.connect()
    #expect(budget.reaches { $0 == Self.plain })
    server = nil
    #expect(budget.reaches { $0 == 0 })
    client?.close()
  }

  @Test("The heaviest network gives way, in it the heaviest client, and its oldest connection")
  func heaviestNetwork() {
    func key(_ last: UInt8, _ third: UInt8 = 0) -> [UInt8] {
      [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, third, last]
    }
    var counts = ClientCounts()
    func pointer(_ number: Int) -> OpaquePointer? { unsafe OpaquePointer(bitPattern: number) }
    // One client has 30 bytes; a network of three clients has 40.
    let connections = [(key(1, 9), 30), (key(1), 10), (key(2), 5), (key(2), 15), (key(3), 10)]
    for (index, connection) in connections.enumerated() {
      #expect(counts.admit(connection.0, charge: connection.1) == 0)
      if let pointer = unsafe pointer(index + 1) { unsafe counts.begin(pointer) }
    }
    #expect(counts.totalCharge == 70)
    #expect(unsafe counts.heaviest == pointer(3))
    // A connection that is being closed still weighs, but another one is chosen.
    if let third = unsafe pointer(3) { unsafe counts[third]?.isEnding = true }
    #expect(unsafe counts.heaviest == pointer(4))
    if let fourth = unsafe pointer(4) { unsafe counts[fourth]?.isEnding = true }
    #expect(unsafe counts.heaviest == pointer(3))
  }

  @Test("A WebSocket is charged until its client is admitted")
  func sockets() throws {
    let budget = Budget()
    let server = try TestServer(
      {
        $0.memory = budget
        $0.webSockets = Admitting()
      }, handler: Self.answer)
    let client = try server.connect()
    try client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    // A message of 40,000 bytes whose end does not come.
    try client.send([0x01, 0xFE, 0x9C, 0x40, 0, 0, 0, 0] + [UInt8](repeating: 120, count: 40_000))
    #expect(budget.reaches { $0 >= Self.plain + 40_000 })
    try client.send([0x80, 0x81, 0, 0, 0, 0, 120])
    #expect(budget.reaches { $0 == 0 })
    client.close()
    #expect(try isServed(server))
    #expect(budget.reaches { $0 == 0 })
  }

  /// Admits a client with its first message.
  private struct Admitting: WebSocketHandler {
    func refusal(of request: HTTPRequest) -> HTTPResponse? { nil }
    func opened(_ socket: UInt64) -> [WebSocketAction] { [] }
    func received(_ text: [UInt8], on socket: UInt64) -> [WebSocketAction] { [.admit(socket)] }
    func closed(_ socket: UInt64) -> [WebSocketAction] { [] }
    func check(_ socket: UInt64) -> [WebSocketAction] { [] }
  }

  @Test("The address of a client's key is that of the client")
  func keys() throws {
    let v4: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 7]
    let v6: [UInt8] = [0x20, 1, 0x0D, 0xB8, 0, 1, 0, 2] + [UInt8](repeating: 0, count: 8)
    #expect(IPAddress(clientKey: v4) == IPAddress("192.0.2.7"))
    #expect(IPAddress(clientKey: v6) == IPAddress("2001:db8:1:2::"))
  }
}
