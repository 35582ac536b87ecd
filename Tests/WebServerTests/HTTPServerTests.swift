import NetIO
import NetworkTypes
import Synchronization
import System
import TestSupport
import Testing
import WebServer

@Suite("HTTP server")
struct HTTPServerTests {
  /// Answers with the request as the handler sees it.
  private static let echo: HTTPServer.Handler = { request, _ in
    var text = "\(request.method.rawValue) \(request.path)"
    for parameter in request.query { text += " \(parameter.name)=\(parameter.value)" }
    text += " \(String(decoding: request.body, as: UTF8.self))"
    var response = HTTPResponse(200, text: text)
    response.headers = [.init("X-Peer", request.peer), .init("X-Host", request.host ?? "")]
    return response
  }

  struct Exchange: Sendable, CustomTestStringConvertible {
    var request: String
    var status = 200
    var body: String?
    var testDescription: String { request.debugDescription }
  }

  static let exchanges = [
    Exchange(request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", body: "GET / \n"),
    Exchange(request: "GET /a%20b?x=1&y=%26z HTTP/1.1\r\nHost: a\r\n\r\n", body: "GET /a b x=1 y=&z \n"),
    Exchange(request: "GET /a?x HTTP/1.1\r\nHost: a\r\n\r\n", body: "GET /a x= \n"),
    Exchange(request: "DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", body: "DELETE /a \n"),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", body: "POST /p body\n"),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", body: "POST /p \n"),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\n\r\n", body: "POST /p \n"),
    Exchange(request: "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", body: "PUT /p x\n"),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", status: 413),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", status: 400),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", status: 400),
    Exchange(request: "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: 411),
  ]

  @Test("A request reaches the handler, or is refused", arguments: exchanges)
  func exchange(test: Exchange) throws {
    let server = try TestServer(handler: Self.echo)
    let client = try server.connect()
    try client.send(test.request)
    let answer = try client.answer()
    #expect(answer.status == test.status)
    if let body = test.body { #expect(answer.body == body) }
  }

  @Test("The handler sees the client's address and Host; an answer has its headers")
  func headers() throws {
    let server = try TestServer(handler: Self.echo)
    let client = try server.connect()
    try client.send("GET / HTTP/1.1\r\nHost: example.org:1\r\n\r\n")
    let answer = try client.answer()
    #expect(answer.headers["x-peer"] == "127.0.0.1" && answer.headers["x-host"] == "example.org:1")
    #expect(answer.headers["content-type"] == "text/plain; charset=utf-8")
  }

  @Test("HEAD has the headers of GET and no body")
  func head() throws {
    let server = try TestServer(handler: Self.echo)
    let client = try server.connect()
    try client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    let answer = try client.answer(toHead: true)
    #expect(answer.status == 200 && answer.headers["content-length"] == "8")
    try client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try client.answer().body == "GET /next \n")
  }

  @Test("One connection carries several requests, also at once and in parts")
  func keepAlive() throws {
    let server = try TestServer(handler: Self.echo)
    let client = try server.connect()
    for number in 0..<3 {
      try client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(try client.answer().body == "GET /\(number) \n")
    }
    try client.send((0..<5).map { "GET /p\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
    for number in 0..<5 { #expect(try client.answer().body == "GET /p\(number) \n") }
    for byte in Array("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".utf8) { try client.send([byte]) }
    #expect(try client.answer().body == "POST /b abc\n")
  }

  @Test("An answer of a megabyte arrives whole, also for a client that reads late")
  func largeAnswer() throws {
    let body = String(repeating: "0123456789abcdef", count: 65_536)
    let server = try TestServer { _, _ in HTTPResponse(200, text: body) }
    let client = try server.connect()
    try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try client.answer().body == body + "\n")
  }

  @Test("A body of the limit's size is accepted, also when it arrives slowly")
  func largestBody() throws {
    let server = try TestServer({ $0.bodyLimit = .bytes(10_000) }) { request, _ in
      HTTPResponse(200, text: "\(request.body.count)")
    }
    let client = try server.connect()
    try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
    for _ in 0..<10 { try client.send([UInt8](repeating: 120, count: 1000)) }
    #expect(try client.answer().body == "10000\n")
  }

  @Test("A handler may answer later, from another thread; other connections do not wait")
  func deferred() throws {
    let waiting = Mutex<[HTTPServer.ExchangeID]>([])
    let server = try TestServer { request, exchange in
      if request.path == "/now" { return HTTPResponse(200, text: "now") }
      waiting.withLock { $0.append(exchange) }
      return nil
    }
    let first = try server.connect()
    try first.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
    let second = try server.connect()
    try second.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try second.answer().body == "now\n")
    let exchange = try #require(waiting.withLock { $0.first })
    server.http.answer(exchange, HTTPResponse(200, text: "late"))
    #expect(try first.answer().body == "late\n")
    // A second answer to the same exchange has no effect.
    server.http.answer(exchange, HTTPResponse(200, text: "twice"))
    try second.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try second.answer().body == "now\n")
    #expect(!first.hears(milliseconds: 50))
  }

  @Test("A late answer for a client that has left has no effect")
  func leftClient() throws {
    let waiting = Mutex<[HTTPServer.ExchangeID]>([])
    let server = try TestServer { request, exchange in
      if request.path == "/now" { return HTTPResponse(200, text: "now") }
      waiting.withLock { $0.append(exchange) }
      return nil
    }
    let other = try server.connect()
    do {
      let client = try server.connect()
      try client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
      try other.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
      _ = try other.answer()
      client.close()
    }
    let exchange = try #require(waiting.withLock { $0.first })
    server.http.answer(exchange, HTTPResponse(200, text: "late"))
    try other.send("GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try other.answer().body == "now\n")
  }
}
