import Foundation
import NetworkTypes
import STUN
import System
import TestSupport
import Testing

/// Keys of the process, its files and its log.
extension KeyBehaviourTests {
  @Test("state-directory has the store and the self-signed certificate")
  func stateDirectory() throws {
    let folder = try TemporaryDirectory()
    let port = PortBlock.keys[20]
    let server = try RunningServer(
      port: port, ["state-directory=\(folder.path("state"))"],
      listeners: "udp://127.0.0.1:\(port),tls://127.0.0.1:\(port + 1)", users: false)
    for file in ["turnpike.db", "self-signed.pem", "self-signed-key.pem"] {
      #expect(FileManager.default.fileExists(atPath: folder.path("state/\(file)")), "\(file)")
    }
    withExtendedLifetime(server) {}
  }

  @Test("auth.store has the users that commands add")
  func store() throws {
    let setting = "auth.store=sqlite:others.db"
    let server = try start(21, [setting])
    let words = ["user", "add", "carol", "--password-stdin", "--set", setting]
    #expect(try server.command(words, input: "pw\n").status == 0)
    let files = try FileManager.default.contentsOfDirectory(atPath: server.directory.path)
    #expect(files.contains("others.db") && !files.contains("turnpike.db"), "\(files)")
    #expect(try allocate(try client(server, "carol", "pw")).code == nil)
  }

  @Test("With auth.anonymous an Allocate without credentials succeeds", arguments: [true, false])
  func anonymous(isOn: Bool) throws {
    let server = try start(22, isOn ? ["auth.anonymous=true", "auth.users="] : ["auth.anonymous=false"])
    let client = try client(server)
    try client.stream.send(client.request(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) })
    let answer = try StreamClient.Answer(try client.stream.receiveMessage())
    #expect(answer.code == (isOn ? nil : 401) && (answer.relayed != nil) == isOn)
  }

  @Test("relay.addresses has the relayed address")
  func relayAddresses() throws {
    let server = try start(23, ["relay.addresses=127.0.0.5"])
    #expect(try allocate(try client(server)).relayed?.address == IPAddress(127, 0, 0, 5))
  }

  @Test("drain-timeout ends a drain and its live allocations")
  func drainTimeout() throws {
    let port = PortBlock.keys[24]
    let server = try RunningServer(port: port, listeners: "tcp://127.0.0.1:\(port)", drainTimeout: "2s")
    let client = try client(server)
    try allocate(client)
    let before = Instant.read()
    server.send(SIGTERM)
    #expect(server.logs("draining allocations=1 timeout=2 "))
    #expect(try client.ask(.refresh).code == nil)
    try #require(server.logs(" stopped"))
    #expect(Instant.read() >= before.advanced(by: .seconds(2)))
    #expect(server.waitForEnd() == 0)
  }

  @Test("Each log.level has the lines of its own and of higher levels", arguments: ["debug", "info", "warning"])
  func logLevel(level: String) throws {
    let port = PortBlock.keys[25]
    // The certificate's warning is there at each level; the endpoint is ready after it.
    let server = try RunningServer(
      port: port, ["log.level=\(level)"], listeners: "tcp://127.0.0.1:\(port),tls://127.0.0.1:\(port + 1)",
      ready: "certificate-self-signed")
    #expect(
      try AdminServerTests().soon {
        guard let client = try? client(server), try allocate(client).code == nil else { return false }
        return try client.ask(.createPermission).code == 400
      })
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    // This waits for the end of the log.
    _ = server.logs("no such line")
    let written = ["debug", "info", "warning"].filter { server.logText.contains(" \($0) ") }
    let wanted = ["debug": ["debug", "info", "warning"], "info": ["info", "warning"], "warning": ["warning"]]
    #expect(written == wanted[level], "\(server.logText)")
  }
}
