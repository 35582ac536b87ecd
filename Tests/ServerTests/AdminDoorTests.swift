import ClientIO
import Foundation
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing
import TLS

/// Access to the admin endpoint, and its addresses.
extension AdminServerTests {
  @Test("With admin.token requests of the API need the token; a reload replaces it")
  func token() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("admin: { token: first-token }\n", to: "t.yml")
    var (_, admin) = try start(20, configuration: file)
    #expect(try admin.ask("GET", "/api/v1/status").status == 401)
    #expect(try admin.ask("GET", "/metrics").status == 200)
    admin.token = "first-token"
    #expect(try admin.ask("GET", "/api/v1/status").status == 200)
    try folder.write("admin: { token: second-token }\n", to: "t.yml")
    #expect(try admin.ask("POST", "/api/v1/reload").status == 204)
    #expect(try admin.ask("GET", "/api/v1/status").status == 401)
    admin.token = "second-token"
    #expect(try admin.ask("GET", "/api/v1/status").status == 200)
  }

  @Test("Requests of other web pages are refused")
  func foreignPages() throws {
    let (_, admin) = try start(21)
    #expect(try admin.ask("GET", "/api/v1/status", headers: ["Origin: http://evil.example"]).status == 403)
    #expect(try admin.ask("GET", "/api/v1/status", headers: ["Host: evil.example"]).status == 403)
    #expect(try admin.ask("DELETE", "/api/v1/sessions/0-0-0", headers: ["Origin: null"]).status == 403)
    #expect(try admin.ask("OPTIONS", "/api/v1/drain", headers: ["Origin: http://evil.example"]).status == 405)
  }

  @Test("Pages of admin.allow-origins may ask for credentials; a reload replaces the list")
  func origins() throws {
    let folder = try TemporaryDirectory()
    let page = "Origin: https://app.example.org"
    let file = try folder.write("admin: { token: t0ken, allow-origins: [ 'https://app.example.org' ] }\n", to: "t.yml")
    var (_, admin) = try start(22, configuration: file)
    #expect(try admin.ask("OPTIONS", "/api/v1/credentials", headers: [page]).status == 204)
    #expect(try admin.ask("POST", "/api/v1/credentials?user=a", headers: [page]).status == 401)
    admin.token = "t0ken"
    #expect(try admin.ask("POST", "/api/v1/credentials?user=a", headers: [page]).status != 403)
    #expect(try admin.ask("POST", "/api/v1/drain", headers: [page]).status == 403)
    try folder.write("admin: { token: t0ken }\n", to: "t.yml")
    #expect(try admin.ask("POST", "/api/v1/reload").status == 204)
    #expect(try admin.ask("POST", "/api/v1/credentials?user=a", headers: [page]).status == 403)
  }

  @Test("The start fails if another process uses the configured port")
  func takenPort() throws {
    let (first, _) = try start(23)
    #expect {
      _ = try start(24, listen: "127.0.0.1:\(Self.port(23) + 2)")
    } throws: { error in
      let log = (error as? RunningServer.NotStarted)?.log ?? ""
      return log.contains("admin.listen") && log.contains("in use")
    }
    #expect(first.isRunning)
  }

  @Test("On an address off loopback the endpoint needs a token: exit status 78")
  func offLoopback() throws {
    let result = try Child.run(
      RunningServer.program, ["check", "--set", "admin.listen=0.0.0.0:8478"], environment: [:])
    #expect(result.status == 78 && result.errors.contains("admin.token"))
  }

  @Test("Silent connections have a limit and do not stop the endpoint")
  func silentConnections() throws {
    let (server, admin) = try start(25)
    let silent = try (0..<300).map { _ in
      let socket = try ClientSocket.tcp(to: SocketAddress(.ipv4Loopback, port: server.port + 2))
      return Holder(socket)
    }
    let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(server.processIdentifier)/fd").count
    #expect(descriptors < 200)
    for holder in silent { holder.value = nil }
    #expect(try soon { (try? admin.ask("GET", "/healthz").status) == 200 })
  }

  private final class Holder {
    var value: ClientSocket?

    init(_ value: consuming ClientSocket) { self.value = consume value }
  }
}

// MARK: - Unix sockets and TLS

extension AdminServerTests {
  @Test("On a Unix socket owner and group are operators; the socket of a killed server is replaced")
  func unixSocket() throws {
    let folder = try TemporaryDirectory()
    let path = folder.path("admin.sock")
    let admin = AdminClient(url: "http://localhost", unixSocket: path)
    do {
      let (first, _) = try start(30, listen: "unix:\(path)")
      #expect(try admin.ask("GET", "/healthz").status == 200)
      #expect(try admin.ask("GET", "/api/v1/status").status == 200)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o660)
      #expect(throws: RunningServer.NotStarted.self) { _ = try start(31, listen: "unix:\(path)") }
      #expect(first.isRunning)
    }
    // The first server was killed, so its socket is still there.
    #expect(FileManager.default.fileExists(atPath: path))
    let (server, _) = try start(32, listen: "unix:\(path)")
    #expect(try admin.ask("GET", "/readyz").status == 200)
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("A file that is no socket is not replaced")
  func notASocket() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("keep", to: "admin.sock")
    #expect {
      _ = try start(33, listen: "unix:\(file)")
    } throws: { error in
      (error as? RunningServer.NotStarted)?.log.contains("admin.listen") == true
    }
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "keep")
  }

  private func writePair(_ folder: TemporaryDirectory, _ name: String) throws -> [UInt8] {
    let pair = try SelfSignedCertificate(
      commonName: name, hostNames: [name], addresses: [.ipv4Loopback],
      now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
    try folder.write(pair.key, to: "key.pem")
    try folder.write(pair.certificate, to: "chain.pem")
    return pair.certificate
  }

  @Test("Off loopback the endpoint has the server's certificate, also after it was renewed, and needs the token")
  func secure() throws {
    let folder = try TemporaryDirectory()
    let first = try writePair(folder, "first.example")
    try folder.write(first, to: "first.pem")
    let port = Self.port(34) + 2
    let (server, _) = try start(
      34,
      [
        "admin.token=t0ken", "tls.certificate=\(folder.path("chain.pem"))",
        "tls.private-key=\(folder.path("key.pem"))",
      ], listen: "0.0.0.0:\(port)")
    var admin = AdminClient(url: "https://127.0.0.1:\(port)", token: "t0ken")
    admin.authorities = folder.path("first.pem")
    #expect(try admin.ask("GET", "/api/v1/status").status == 200)
    #expect(throws: (any Error).self) { try AdminClient(url: "http://127.0.0.1:\(port)").ask("GET", "/healthz") }
    try folder.write(try writePair(folder, "second.example"), to: "second.pem")
    server.send(SIGHUP)
    #expect(server.logs("certificates-loaded"))
    admin.authorities = folder.path("second.pem")
    #expect(try soon { (try? admin.ask("GET", "/api/v1/status").status) == 200 })
    admin.authorities = folder.path("first.pem")
    #expect(throws: (any Error).self) { try admin.ask("GET", "/healthz") }
    admin.authorities = folder.path("second.pem")
    admin.token = ""
    #expect(try admin.ask("GET", "/api/v1/status").status == 401)
  }

  // MARK: - Strangers

  /// A server with HTTPS, and a connection to it with a complete handshake.
  private func startSecure(_ number: UInt16, _ folder: TemporaryDirectory) throws -> (RunningServer, AdminClient) {
    let certificate = try writePair(folder, "admin.example")
    try folder.write(certificate, to: "ca.pem")
    let port = Self.port(number) + 2
    let (server, _) = try start(
      number,
      [
        "admin.token=t0ken", "tls.certificate=\(folder.path("chain.pem"))",
        "tls.private-key=\(folder.path("key.pem"))",
      ], listen: "0.0.0.0:\(port)")
    var admin = AdminClient(url: "https://127.0.0.1:\(port)")
    (admin.authorities, admin.token) = (folder.path("ca.pem"), "t0ken")
    return (server, admin)
  }

  private static let request = Array("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".utf8)

  @Test("KeyUpdates without data end a connection to the endpoint; requests between them reset the count")
  func keyUpdates() throws {
    let folder = try TemporaryDirectory()
    let (server, admin) = try startSecure(40, folder)
    let address = SocketAddress(.ipv4Loopback, port: Self.port(40) + 2)
    let stream = try Stream(to: address, tls: try TLSContext(client: .none))
    #expect(stream.ends { for _ in 0..<40 { try stream.requestKeyUpdate() } })
    #expect(server.logs("limit=messages-without-data "))
    let counted = #"turnpike_limit_reached_total{limit="messages-without-data"}"#
    #expect(try soon { try admin.metrics()[counted] == 1 })
    let patient = try Stream(to: address, tls: try TLSContext(client: .none))
    for _ in 0..<4 {
      for _ in 0..<12 { try patient.requestKeyUpdate() }
      try patient.send(Self.request)
      var answer = ""
      while !answer.hasSuffix("\r\n\r\nok\n") { answer += String(decoding: try patient.receive(1), as: UTF8.self) }
      #expect(answer.hasPrefix("HTTP/1.1 200"))
    }
  }

  @Test("What is held for clients without the token is in the metric, and is released when they leave or show it")
  func strangersMemory() throws {
    let folder = try TemporaryDirectory()
    let (server, admin) = try startSecure(41, folder)
    let address = SocketAddress(.ipv4Loopback, port: Self.port(41) + 2)
    func held() throws -> Double { try admin.metrics()["turnpike_admin_strangers_memory_bytes"] ?? -1 }
    // The operator's own connection has not shown its token when the metrics are written.
    let before = try held()
    let silent = try (0..<4).map { _ in Holder(try ClientSocket.tcp(to: address)) }
    #expect(try soon { try held() >= before + 4 * 50_000 })
    #expect(try admin.metrics()["turnpike_strangers_memory_bytes"] ?? 0 >= before + 4 * 50_000)
    for holder in silent { holder.value = nil }
    #expect(try soon { try held() == before })
    let known = try Stream(to: address, tls: try TLSContext(client: .none))
    try known.send(Array("GET /api/v1/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t0ken\r\n\r\n".utf8))
    _ = try known.receive(12)
    #expect(try held() == before)
    #expect(server.isRunning)
  }

  @Test("At its part of limits.strangers-memory the endpoint closes the heaviest client, and serves others")
  func strangersMemoryFull() throws {
    let (server, admin) = try start(42, ["limits.strangers-memory=1M"])
    let address = SocketAddress(.ipv4Loopback, port: server.port + 2)
    let silent = try (0..<40).map { number in
      let client = SocketAddress(IPAddress(127, 0, 0, UInt8(2 + number / 20)), port: 0)
      return Holder(try ClientSocket.tcp(to: address, from: client))
    }
    #expect(server.logs("limit=strangers-memory "))
    #expect(try soon { (try? admin.ask("GET", "/healthz").status) == 200 })
    #expect(try admin.metrics()["turnpike_admin_strangers_memory_bytes"] ?? 0 <= 250_000)
    _ = silent
  }

  // MARK: - Peers

  @Test("A client cannot relay to the endpoint, whatever the peer rules allow")
  func noPeer() throws {
    let (server, _) = try start(35)
    var alice = try server.session()
    try alice.allocate()
    try alice.createPermission([SocketAddress(.ipv4Loopback, port: server.port + 3)])
    #expect(
      fails { () throws(AllocationSession.Failure) in
        try alice.bindChannel(to: SocketAddress(.ipv4Loopback, port: server.port + 2))
      })
    try alice.bindChannel(to: SocketAddress(.ipv4Loopback, port: server.port + 3))
  }
}
