internal import Foundation
internal import JSON
internal import Synchronization
internal import System
internal import TestSupport
internal import Testing
internal import WebServer

@testable internal import turnpike

/// The commands that ask a running server, against a server of this test.
@Suite("Commands for a running server")
struct AdminCommandTests {
  /// Answers as the admin endpoint does, and records the requests.
  private final class Endpoint: Sendable {
    let path: String
    let asked = Mutex<[String]>([])
    private let folder: TemporaryDirectory
    private let stop: @Sendable () -> Void

    init(_ handler: @escaping @Sendable (HTTPRequest) -> HTTPResponse) throws {
      folder = try TemporaryDirectory()
      path = folder.path("admin.sock")
      let box = Box()
      let http = try HTTPServer(HTTPServer.Options(.unixSocket(path))) { request, _ in
        box.endpoint.withLock { $0.value }?.record(request)
        return handler(request)
      }
      let thread = try System.Thread(name: "http") { http.run() }
      stop = {
        http.stop()
        thread.join()
      }
      box.endpoint.withLock { $0.value = self }
    }

    deinit { stop() }

    private struct Weak: Sendable { weak var value: Endpoint? }
    private final class Box: Sendable { let endpoint = Mutex(Weak()) }

    private func record(_ request: HTTPRequest) {
      let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
      let text = "\(request.method.rawValue) \(request.path)\(query.isEmpty ? "" : "?" + query) "
      let body = request.body.isEmpty ? "" : " " + String(decoding: request.body, as: UTF8.self)
      asked.withLock { $0.append(text + (request.authorization ?? "-") + body) }
    }
  }

  private static func json(_ status: UInt32, _ text: String) -> HTTPResponse {
    HTTPResponse(status, "application/json", Array(text.utf8))
  }

  private static func session(_ id: String, user: String) -> String {
    #"{"id":"\#(id)","user":"\#(user)","realm":"r","client":"192.0.2.1:5000","transport":"udp","#
      + #""relayed":"192.0.2.9:50000","seconds":3725,"to-peers":{"packets":3,"bytes":1500},"#
      + #""to-client":{"packets":0,"bytes":0},"quality":{"from-client":{"basis":"rtp","packets":990,"lost":10,"#
      + #""late":0,"duplicates":0,"jitter-us":900},"from-peers":{"basis":"gaps"},"round-trip-us":23400}}"#
  }

  private func run(_ endpoint: Endpoint, _ words: String..., environment: [String: String] = [:]) async throws
    -> Child.Result
  {
    try await Program().run(words + ["--admin", "unix:\(endpoint.path)"], environment: environment)
  }

  @Test("sessions prints a line for each session of all pages, and gives the filters to the server")
  func sessions() async throws {
    let endpoint = try Endpoint { request in
      request[parameter: "after"] == nil
        ? Self.json(200, #"{"sessions":[\#(Self.session("0-1-1", user: "al"))],"next":"0-2"}"#)
        : Self.json(200, #"{"sessions":[\#(Self.session("1-1-1", user: #"b\u001b[31m"#))]}"#)
    }
    let result = try await run(endpoint, "sessions", "--user", "a&b", "--transport", "UDP", "--client", "192.0.2.1")
    #expect(result.status == 0, "\(result.errors)")
    #expect(
      result.output == """
        0-1-1\tal\tr\t192.0.2.1:5000\tudp\t192.0.2.9:50000\t1h 2m\t1.5 kB\t0 B\t1.0% -\t<24 ms
        1-1-1\tb\\u{1b}[31m\tr\t192.0.2.1:5000\tudp\t192.0.2.9:50000\t1h 2m\t1.5 kB\t0 B\t1.0% -\t<24 ms

        """)
    let first = "GET /api/v1/sessions?limit=500&user=a&b&client=192.0.2.1&transport=udp"
    #expect(endpoint.asked.withLock { $0 } == ["\(first) -", "\(first)&after=0-2 -"])
  }

  @Test("--json is one document of all pages")
  func document() async throws {
    let endpoint = try Endpoint { _ in Self.json(200, #"{"sessions":[\#(Self.session("0-1-1", user: "al"))]}"#) }
    let result = try await run(endpoint, "sessions", "--json")
    #expect(try JSONValue.decode(result.output)["sessions"]?[0]?["id"]?.string == "0-1-1")
  }

  @Test("status prints the state in words")
  func status() async throws {
    let endpoint = try Endpoint { _ in
      Self.json(
        200,
        #"{"version":"1.2","started":"2026-01-01T00:00:00Z","seconds":90,"state":"ready","engine":"epoll","#
          + #""allocations":7,"shards":[{"allocations":7,"connections":2,"processor-seconds":1.5}],"#
          + #""listeners":["udp://0.0.0.0:3478"],"relay-addresses":["192.0.2.9"],"relay-ports":"49152-65535","#
          + #""certificate":{"subject":"a","expires":"2027-01-01T00:00:00Z","names":["a.example"]},"#
          + #""stores":[{"realms":["r"],"is-open":false}],"to-peers":{"packets":1,"bytes":2000000},"#
          + #""to-clients":{"packets":0,"bytes":0}}"#)
    }
    let text = try await run(endpoint, "status").output
    for part in [
      "state         ready\n", "1m 30s ago", "allocations   7\n", "2.0 MB in 1 packets", "NOT OPEN", "a.example",
      "connections   2\n",
    ] {
      #expect(text.contains(part), "\(part)")
    }
    #expect(try JSONValue.decode(try await run(endpoint, "status", "--json").output)["allocations"]?.integer == 7)
  }

  @Test("kick, drain and reload send their request with the token, and print what the server has done")
  func orders() async throws {
    let endpoint = try Endpoint { _ in HTTPResponse(204, "application/json", []) }
    let token = ["TURNPIKE_ADMIN_TOKEN": "t0ken"]
    let kicked = try await run(endpoint, "kick", "0-1-2", environment: token)
    #expect(kicked.status == 0 && kicked.errors.contains("ended the session 0-1-2") && kicked.output.isEmpty)
    #expect(try await run(endpoint, "drain", environment: token).status == 0)
    #expect(try await run(endpoint, "reload", environment: token).status == 0)
    #expect(
      endpoint.asked.withLock { $0 } == [
        "DELETE /api/v1/sessions/0-1-2 Bearer t0ken", "POST /api/v1/drain Bearer t0ken",
        "POST /api/v1/reload Bearer t0ken",
      ])
    let documents: [(Child.Result, JSONValue)] = [
      (try await run(endpoint, "kick", "0-1-2", "--json", environment: token), ["session": "0-1-2", "state": "ended"]),
      (try await run(endpoint, "drain", "--json", environment: token), ["state": "draining"]),
      (try await run(endpoint, "reload", "--json", environment: token), ["state": "reloaded"]),
    ]
    for (result, document) in documents {
      #expect(try JSONValue.decode(result.output) == document)
      #expect(result.errors.isEmpty)
    }
  }

  @Test("upgrade prints what was handed over, or the server's reason for a failure")
  func upgrade() async throws {
    let endpoint = try Endpoint { _ in
      HTTPResponse(
        200, "application/json",
        Array(
          #"{"process":7,"allocations":1000,"relays":1001,"connections":2,"kept":1,"gap-us":9100}"#.utf8))
    }
    let told = try await run(endpoint, "upgrade")
    #expect(told.status == 0 && told.output.isEmpty)
    #expect(told.errors.contains("process 7 has taken over 1000 allocations and 2 TCP connections within 9 ms"))
    #expect(endpoint.asked.withLock { $0.first?.hasPrefix("POST /api/v1/upgrade") } == true)
    let document = try await run(endpoint, "upgrade", "--json")
    #expect(try JSONValue.decode(document.output)["relays"]?.integer == 1001)
    let refusing = try Endpoint { _ in
      HTTPResponse(409, "application/json", Array(#"{"error":"this process goes on: no"}"#.utf8))
    }
    let refused = try await run(refusing, "upgrade")
    #expect(refused.status == 1 && refused.errors.contains("this process goes on: no"))
  }

  @Test("ban add, list and remove send their requests, and print what the server has done")
  func bans() async throws {
    let endpoint = try Endpoint { request in
      switch request.method {
      case .post: Self.json(201, #"{"address":"192.0.2.0/24","closed":3}"#)
      case .get:
        Self.json(
          200,
          #"{"bans":[{"address":"192.0.2.0/24","added":"2026-01-01T00:00:00Z","reason":"a\u001b","expires-in":90},"#
            + #"{"address":"::1/128","added":"2026-01-02T00:00:00Z","reason":""}]}"#)
      default: HTTPResponse(204, "application/json", [])
      }
    }
    let added = try await run(
      endpoint, "ban", "add", "192.0.2.0/24", "--ttl", "90", "--reason", "why \"so\"", "--close")
    #expect(added.status == 0 && added.output.isEmpty)
    #expect(added.errors == "turnpike: banned 192.0.2.0/24\nturnpike: closed 3 live allocations\n")
    let list = try await run(endpoint, "ban", "list")
    #expect(
      list.output == """
        192.0.2.0/24\t2026-01-01T00:00:00Z\t1m 30s\ta\\u{1b}
        ::1/128\t2026-01-02T00:00:00Z\t-\t

        """)
    #expect(try JSONValue.decode(try await run(endpoint, "ban", "list", "--json").output)["bans"]?.array?.count == 2)
    #expect(try await run(endpoint, "ban", "remove", "192.0.2.0/24").errors.contains("removed the ban"))
    #expect(
      endpoint.asked.withLock { $0 } == [
        #"POST /api/v1/bans - {"address":"192.0.2.0/24","close":true,"ttl":90,"reason":"why \"so\""}"#,
        "GET /api/v1/bans -", "GET /api/v1/bans -", "DELETE /api/v1/bans?address=192.0.2.0/24 -",
      ])
  }

  @Test("user remove --close and secret remove --close change the store first, then ask the server")
  func closing() async throws {
    let endpoint = try Endpoint { _ in Self.json(200, #"{"closed":1}"#) }
    let program = try Program()
    let admin = ["--admin", "unix:\(endpoint.path)"]
    _ = try await program.run(["user", "add", "a b", "--password-stdin"], input: "p\n")
    _ = try await program.run(["secret", "add", "--secret-stdin"], input: "s\n")
    let user = try await program.run(["user", "remove", "a b", "--close"] + admin)
    #expect(user.status == 0 && user.errors.hasSuffix("turnpike: closed 1 live allocation\n"), "\(user.errors)")
    let secret = try await program.run(["secret", "remove", "1", "--close"] + admin)
    #expect(secret.status == 0, "\(secret.errors)")
    #expect(
      endpoint.asked.withLock { $0 } == [
        "DELETE /api/v1/sessions?user=a b&realm=turnpike -", "DELETE /api/v1/sessions?revoked=true&realm=turnpike -",
      ])
    // A missing user has no session to close.
    #expect(try await program.run(["user", "remove", "a b", "--close"] + admin).status == 1)
    #expect(endpoint.asked.withLock { $0.count } == 2)
    #expect(try await program.run("user", "list").output.isEmpty)
  }

  @Test(
    "Without an endpoint --close removes nothing; without a running server the store is changed, and the status is 1")
  func closingWithoutServer() async throws {
    let program = try Program()
    for name in ["a", "b"] { _ = try await program.run(["user", "add", name, "--password-stdin"], input: "p\n") }
    let none = try await program.run("user", "remove", "a", "--close", "--set", "admin.listen=")
    #expect(none.status == 1 && none.errors.contains("admin.listen is empty"))
    let silent = try await program.run("user", "remove", "b", "--close", "--set", "admin.listen=127.0.0.1:9")
    #expect(silent.status == 1 && silent.errors.contains("removed the user") && silent.errors.contains("no server"))
    #expect(try await program.run("user", "list").output.hasPrefix("a\t"))
  }

  @Test(
    "A refusal is exit status 1, with the server's reason",
    arguments: [
      (401 as UInt32, #"{"error":"x"}"#, "TURNPIKE_ADMIN_TOKEN"), (404, #"{"error":"no session 9"}"#, "no session 9"),
      (409, #"{"error":"a\u001b[2J"}"#, "a\\u{1b}[2J"), (503, "oops", "HTTP status 503"),
    ])
  func refusals(status: UInt32, body: String, message: String) async throws {
    let endpoint = try Endpoint { _ in Self.json(status, body) }
    for words in [["kick", "9"], ["status"], ["reload"]] {
      let result = try await Program().run(words + ["--admin", "unix:\(endpoint.path)"])
      #expect(result.status == 1 && result.errors.contains(message) && result.output.isEmpty, "\(result.errors)")
    }
  }

  @Test("Without a server the message names the place, and the exit status is 1")
  func noServer() async throws {
    let result = try await Program().run("status", "--set", "admin.listen=127.0.0.1:9")
    #expect(result.status == 1 && result.errors.contains("no server answers at 127.0.0.1:9"))
    let none = try await Program().run("status", "--set", "admin.listen=")
    #expect(none.status == 1 && none.errors.contains("admin.listen is empty"))
  }

  @Test(
    "A duration has its two largest units",
    arguments: [(0 as Int64, "0s"), (59, "59s"), (60, "1m 0s"), (3725, "1h 2m"), (90_000, "1d 1h")])
  func durations(seconds: Int64, text: String) { #expect(duration(seconds) == text) }

  @Test(
    "Amounts are decimal", arguments: [(0 as Int64, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB")])
  func amounts(bytes: Int64, text: String) { #expect(amount(bytes) == text) }
}
