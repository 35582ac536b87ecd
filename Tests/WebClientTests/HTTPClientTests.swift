import System
import TestSupport
import Testing
import WebClient
import WebServer

@Suite("HTTP client")
struct HTTPClientTests {
  /// Serves on a Unix socket while `body` runs.
  private func serve(_ handler: @escaping HTTPServer.Handler, _ body: (HTTPClient, String) throws -> Void) throws {
    let folder = try TemporaryDirectory()
    let path = folder.path("t.sock")
    let server = try HTTPServer(HTTPServer.Options(.unixSocket(path)), handler: handler)
    let thread = try System.Thread(name: "http") { server.run() }
    defer {
      server.stop()
      thread.join()
    }
    try body(try #require(HTTPClient()), path)
  }

  private func request(_ path: String, _ socket: String) -> HTTPClient.Request {
    var request = HTTPClient.Request(url: "http://localhost\(path)")
    request.unixSocket = socket
    request.timeout = .seconds(5)
    return request
  }

  @Test("A request has its method, headers and body; the answer has status and body")
  func exchange() throws {
    try serve { request, _ in
      HTTPResponse(201, text: "\(request.method.rawValue) \(request.authorization ?? "-") \(request.body.count)")
    } _: { client, socket in
      var asked = request("/a", socket)
      asked.method = "POST"
      asked.headers = ["Authorization: Bearer t"]
      asked.body = [1, 0, 2]
      let answer = try client.send(asked)
      #expect(answer.status == 201 && String(decoding: answer.body, as: UTF8.self) == "POST Bearer t 3\n")
      // A second request on the same client has nothing of the first one.
      let second = try client.send(request("/b", socket))
      #expect(String(decoding: second.body, as: UTF8.self) == "GET - 0\n")
    }
  }

  @Test("An answer beyond the limit is a failure")
  func limit() throws {
    try serve { _, _ in
      HTTPResponse(200, text: String(repeating: "x", count: 10_000))
    } _: { client, socket in
      var asked = request("/", socket)
      asked.answerLimit = 1000
      #expect(throws: HTTPClient.Failure.self) { try client.send(asked) }
      asked.answerLimit = 10_001
      let whole = try client.send(asked)
      #expect(whole.body.count == 10_001)
    }
  }

  @Test("A redirect is not followed, and a silent server is a failure after the timeout")
  func refusals() throws {
    try serve { request, _ in
      if request.path == "/silent" { return nil }
      var response = HTTPResponse(302, text: "")
      response.headers = [.init("Location", "http://localhost/silent")]
      return response
    } _: { client, socket in
      let answer = try client.send(request("/", socket))
      #expect(answer.status == 302)
      var silent = request("/silent", socket)
      silent.timeout = .milliseconds(200)
      #expect(throws: HTTPClient.Failure.self) { try client.send(silent) }
    }
  }

  @Test("Only http and https are sent", arguments: ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
  func protocols(url: String) throws {
    let client = try #require(HTTPClient())
    #expect(throws: HTTPClient.Failure.self) { try client.send(HTTPClient.Request(url: url)) }
  }
}
