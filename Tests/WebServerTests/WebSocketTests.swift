import NetworkTypes
import Synchronization
import Testing
import WebServer

/// A handler that records its calls, and answers a text with the actions that the text names.
private final class Recorder: WebSocketHandler {
  let events = Mutex<[String]>([])
  let refused = Mutex<HTTPResponse?>(nil)

  private func record(_ event: String) { events.withLock { $0.append(event) } }

  func refusal(of request: HTTPRequest) -> HTTPResponse? {
    record("ask \(request.path) \(request.origin ?? "-") \(request.peer)")
    return refused.withLock { $0 }
  }

  func opened(_ socket: UInt64) -> [WebSocketAction] {
    record("opened \(socket)")
    return []
  }

  func received(_ text: [UInt8], on socket: UInt64) -> [WebSocketAction] {
    let words = String(decoding: text, as: UTF8.self)
    if text.count < 100 { record("text \(socket) \(words)") } else { record("text \(socket) of \(text.count)") }
    switch words {
    case "bye": return [.send(socket, Array("good bye".utf8)), .close(socket, code: 4403)]
    case "admit": return [.admit(socket)]
    case "flood": return (0..<200).map { _ in .send(socket, [UInt8](repeating: UInt8(ascii: "x"), count: 10_000)) }
    case "other": return [.send(socket - 1, Array("from \(socket)".utf8)), .send(99, [1])]
    default: return [.send(socket, text)]
    }
  }

  func closed(_ socket: UInt64) -> [WebSocketAction] {
    record("closed \(socket)")
    return []
  }

  func check(_ socket: UInt64) -> [WebSocketAction] {
    [.send(socket, Array("checked".utf8)), .close(socket, code: 4408)]
  }
}

/// A client of WebSockets, frame by frame (RFC 6455 section 5.2).
private struct WebSocketClient {
  let connection: Connection

  init(_ server: TestServer, path: String = "/socket", from address: IPAddress? = nil) throws {
    connection = try server.connect(from: address)
    try connection.send(
      "GET \(path) HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
  }

  /// Whether the server accepts the WebSocket (status 101).
  func isOpen() throws -> Bool { try connection.answer(toHead: true).status == 101 }

  /// Sends a frame with a mask of zeros.
  func send(_ payload: [UInt8], opcode: UInt8 = 1, isFinal: Bool = true) throws {
    var frame = [(isFinal ? 0x80 : 0) | opcode]
    if payload.count < 126 {
      frame.append(0x80 | UInt8(payload.count))
    } else {
      frame += [0xFE, UInt8(payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
    }
    try connection.send(frame + [0, 0, 0, 0] + payload)
  }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  /// The next frame: opcode and payload.
  func frame() throws -> (opcode: UInt8, payload: [UInt8]) {
    let head = try connection.take(2)
    var count = Int(head[1] & 0x7F)
    if count == 126 {
      let more = try connection.take(2)
      count = Int(more[0]) << 8 | Int(more[1])
    }
    return (head[0] & 0x0F, try connection.take(count))
  }

  func text() throws -> String {
    let frame = try frame()
    return "\(frame.opcode) \(String(decoding: frame.payload, as: UTF8.self))"
  }

  /// The code of the close frame that comes next.
  func closeCode() throws -> Int {
    let frame = try frame()
    guard frame.opcode == 8, frame.payload.count >= 2 else { return 0 }
    return Int(frame.payload[0]) << 8 | Int(frame.payload[1])
  }
}

@Suite("WebSockets of the HTTP server")
struct WebSocketTests {
  private let recorder = Recorder()

  private func server(_ change: (inout HTTPServer.Options) -> Void = { _ in }) throws -> TestServer {
    let recorder = recorder
    return try TestServer(
      {
        $0.webSockets = recorder
        change(&$0)
      }, handler: { _, _ in HTTPResponse(200, text: "fine") })
  }

  @Test("A socket opens, carries texts both ways, also in fragments, and the handler learns its end")
  func whole() throws {
    let server = try server()
    let client = try WebSocketClient(server)
    #expect(try client.isOpen())
    try client.send("hello")
    #expect(try client.text() == "1 hello")
    try client.send(Array("a".utf8), isFinal: false)
    try client.send(Array("b".utf8), opcode: 0, isFinal: false)
    try client.send([], opcode: 9)
    try client.send(Array("c".utf8), opcode: 0)
    #expect(try client.frame().opcode == 10)
    #expect(try client.text() == "1 abc")
    let long = [UInt8](repeating: UInt8(ascii: "y"), count: 10_000)
    try client.send(long)
    var parts: [UInt8] = []
    while parts.count < long.count { parts += try client.frame().payload }
    #expect(parts == long)
    try client.send("bye")
    #expect(try client.text() == "1 good bye")
    #expect(try client.closeCode() == 4403)
    try client.send([0x11, 0x33], opcode: 8)
    #expect(client.connection.ends())
    // The next answer comes after the end has been handled.
    _ = try WebSocketClient(server).isOpen()
    #expect(
      recorder.events.withLock { $0 }.prefix(7) == [
        "ask /socket http://a 127.0.0.1", "opened 1", "text 1 hello", "text 1 abc", "text 1 of 10000", "text 1 bye",
        "closed 1",
      ])
  }

  @Test("The handler refuses with a status; without a handler every upgrade is refused, and pages are served")
  func refused() throws {
    recorder.refused.withLock { $0 = HTTPResponse(403, text: "no") }
    let server = try server()
    #expect(try WebSocketClient(server).connection.answer(toHead: true).status == 403)
    let none = try self.server { $0.webSockets = nil }
    #expect(try WebSocketClient(none).connection.ends())
    let other = try none.connect()
    try other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try other.answer().status == 200)
  }

  @Test("The handler sends one socket's text to another socket; one that has gone gets none, nor does another socket")
  func others() throws {
    let server = try server()
    let first = try WebSocketClient(server)
    #expect(try first.isOpen())
    let second = try WebSocketClient(server)
    #expect(try second.isOpen())
    try second.send("other")
    #expect(try first.text() == "1 from 2")
    try first.send([0x03, 0xE8], opcode: 8)
    #expect(try first.closeCode() == 1000)
    // The next answer comes after the end has been handled. This socket may have the memory of the first one.
    let third = try WebSocketClient(server)
    #expect(try third.isOpen())
    #expect(recorder.events.withLock { $0 }.contains("closed 1"))
    try second.send("other")
    try second.send("mine")
    #expect(try second.text() == "1 mine")
    try third.send("mine too")
    #expect(try third.text() == "1 mine too")
    #expect(throws: Connection.Failure.self) { try first.connection.take(1) }
  }

  @Test("Binary messages, long ones and those that are no UTF-8 close their socket")
  func wrong() throws {
    let server = try server { $0.messageLimit = .bytes(1000) }
    for (payload, opcode, code) in [
      ([1, 2, 3], 2, 1003), ([UInt8](repeating: UInt8(ascii: "x"), count: 1001), 1, 1009),
      ([0xFF, 0xFE], 1, 1007),
    ] as [([UInt8], UInt8, Int)] {
      let client = try WebSocketClient(server)
      #expect(try client.isOpen())
      try client.send(payload, opcode: opcode)
      #expect(try client.closeCode() == code)
    }
    let client = try WebSocketClient(server)
    #expect(try client.isOpen())
    try client.send([UInt8](repeating: UInt8(ascii: "x"), count: 600), isFinal: false)
    try client.send([UInt8](repeating: UInt8(ascii: "x"), count: 600), opcode: 0)
    #expect(try client.closeCode() == 1009)
  }

  @Test("A client that does not read is disconnected at the limit of its queue")
  func slow() throws {
    let server = try server { $0.queueLimit = .bytes(100_000) }
    let client = try WebSocketClient(server)
    #expect(try client.isOpen())
    try client.send("flood")
    #expect(client.connection.ends())
    let next = try WebSocketClient(server)
    #expect(try next.isOpen())
    try next.send("still here")
    #expect(try next.text() == "1 still here")
  }

  @Test("At the limit of all queues together the client with the longest queue is disconnected; others continue")
  func slowest() throws {
    let server = try server {
      $0.queueLimit = .mebibytes(10)
      $0.queuesLimit = .bytes(500_000)
    }
    let slow = try WebSocketClient(server)
    let other = try WebSocketClient(server)
    #expect(try slow.isOpen() && other.isOpen())
    try slow.send("flood")
    #expect(slow.connection.ends())
    try other.send("still here")
    #expect(try other.text() == "1 still here")
  }

  @Test("The handler is asked about each socket every few seconds")
  func checked() throws {
    let server = try server { $0.checkInterval = .seconds(1) }
    let client = try WebSocketClient(server)
    #expect(try client.isOpen())
    #expect(try client.text() == "1 checked")
    #expect(try client.closeCode() == 4408)
  }

  @Test("An admitted socket no longer counts for the connections of its address")
  func admitted() throws {
    let server = try server { $0.connectionsPerAddress = 2 }
    var clients: [WebSocketClient] = []
    for number in 0..<6 {
      let client = try WebSocketClient(server)
      #expect(try client.isOpen(), "\(number)")
      try client.send("admit")
      try client.send("x")
      #expect(try client.text() == "1 x")
      clients.append(client)
    }
    let two = try (0..<2).map { _ in try WebSocketClient(server) }
    for client in two { #expect(try client.isOpen()) }
    #expect(try server.connect().ends(seconds: 1))
  }
}
