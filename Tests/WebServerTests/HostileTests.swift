import NetIO
import NetworkTypes
import System
import TestSupport
import Testing
import WebServer

@Suite("HTTP server and hostile clients")
struct HostileTests {
  private static let answer: HTTPServer.Handler = { _, _ in HTTPResponse(200, text: "fine") }

  private func isServed(_ server: TestServer) throws -> Bool {
    let client = try server.connect()
    try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return try client.answer().status == 200
  }

  static let strangeBytes: [[UInt8]] = [
    Array("\r\n\r\n\r\n".utf8), Array("GET\r\n\r\n".utf8), Array("GET /\r\n\r\n".utf8), Array("\0\0\0\0".utf8),
    [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3], [UInt8](repeating: 0xFF, count: 5000),
    [UInt8](repeating: UInt8(ascii: "A"), count: 20_000), Array("GET /%zz%00 HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
    Array("GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
    Array("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".utf8),
    Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), Array("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
    Array("BREW / HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
    Array(
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAA\r\n\r\n".utf8),
    Array(("GET /?" + String(repeating: "a=1&", count: 900) + " HTTP/1.1\r\nHost: a\r\n\r\n").utf8),
    Array("GET / HTTP/1.1\r\n".utf8) + Array(String(repeating: "X-Y: z\r\n", count: 2000).utf8) + [13, 10],
    Array("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg".utf8),
  ]

  @Test("After garbage on one connection others are served", arguments: strangeBytes)
  func garbage(bytes: [UInt8]) throws {
    let server = try TestServer(handler: Self.answer)
    let client = try server.connect()
    // The server may end the connection before it has read everything.
    try? client.send(bytes)
    #expect(try isServed(server))
    client.close()
    #expect(try isServed(server))
  }

  @Test("A client that sends no headers, or a part of them, is disconnected, also if it sends a byte now and then")
  func slowHeaders() throws {
    let server = try TestServer({ $0.requestTimeout = .seconds(1) }, handler: Self.answer)
    let silent = try server.connect()
    let begun = try server.connect()
    try begun.send("GET / HTTP/1.1\r\nHo")
    #expect(begun.ends())
    #expect(silent.ends())
    let dripping = try server.connect()
    try dripping.send("GET / HTTP/1.1\r\nX: ")
    #expect(isEnded(whileItSends: "x", dripping))
    #expect(try isServed(server))
  }

  /// Whether the server ends the connection of a client that sends this text every 50 ms, within five seconds.
  private func isEnded(whileItSends text: String, _ client: Connection) -> Bool {
    let deadline = Instant.read().advanced(by: .seconds(5))
    while Instant.read() < deadline {
      do { try client.send(text) } catch { return true }
      if client.hears(milliseconds: 50) { return true }
    }
    return false
  }

  @Test("A client that does not send its body is disconnected")
  func slowBody() throws {
    let server = try TestServer({ $0.requestTimeout = .seconds(1) }, handler: Self.answer)
    let client = try server.connect()
    try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    #expect(client.ends())
    #expect(try isServed(server))
  }

  @Test("A client that sends its body byte by byte is disconnected too")
  func drippingBody() throws {
    let server = try TestServer({ $0.bodyTimeout = .seconds(1) }, handler: Self.answer)
    let client = try server.connect()
    try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    #expect(isEnded(whileItSends: "x", client))
    #expect(try isServed(server))
  }

  @Test(
    "Connections of one address beyond its limit are closed at once; others are served, and closed ones do not count")
  func connectionsOfAddress() throws {
    let server = try TestServer({ $0.connectionsPerAddress = 4 }, handler: Self.answer)
    let hostile = IPAddress(127, 0, 0, 2)
    for _ in 0..<3 {
      let silent = try (0..<4).map { _ in try server.connect(from: hostile) }
      for _ in 0..<40 { #expect(try server.connect(from: hostile).ends(seconds: 1)) }
      #expect(silent.allSatisfy { !$0.hears(milliseconds: 1) })
      #expect(try isServed(server))
      for connection in silent { connection.close() }
      // The server has read the ends before it answers this request.
      #expect(try isServed(server))
    }
  }

  @Test("Silent connections beyond the limit wait; they do not keep others out for longer than a request may take")
  func manyConnections() throws {
    let server = try TestServer(
      {
        $0.connections = 8
        $0.requestTimeout = .seconds(1)
      }, handler: Self.answer)
    let silent = try (0..<40).map { _ in try server.connect() }
    let client = try server.connect()
    try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try client.answer().status == 200)
    _ = silent
  }
}
