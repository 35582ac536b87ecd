import System
import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import Testing
import TestSupport
import TURNClient

extension ServerTests {
  // MARK: - Credentials

  /// The user and password in the line that the server printed at its start.
  private func pasted(_ server: RunningServer) throws -> (user: String, password: String) {
    let document = try JSONSerialization.jsonObject(with: Data(server.line.utf8)) as? [String: Any]
    let entry = try #require((document?["iceServers"] as? [[String: Any]])?.first)
    return (try #require(entry["username"] as? String), try #require(entry["credential"] as? String))
  }

  /// The error code of this user's Allocate; nil if it succeeds.
  private func allocate(_ server: RunningServer, _ user: String, _ password: String) throws -> UInt16? {
    var session = try server.session(user, password)
    return code { () throws(AllocationSession.Failure) in try session.allocate() }
  }

  /// Ends a server and starts one with the same state directory.
  private func restart(
    _ server: RunningServer, _ settings: [String] = [], printsLine: Bool = true
  ) throws -> RunningServer {
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    return try RunningServer(
      port: server.port, settings, users: false, directory: server.directory, waitsForLine: printsLine)
  }

  @Test("The first start stores a user and prints its line, later starts print the same line, and it stays valid")
  func firstStart() throws {
    let server = try RunningServer(port: Self.port(13), users: false)
    #expect(server.line.contains("turn:127.0.0.1:\(Self.port(13))?transport=udp"))
    let (user, password) = try pasted(server)
    #expect(try allocate(server, user, password) == nil)
    #expect(try server.command(["user", "list"]).output.contains("turnpike"))

    let second = try restart(server)
    #expect(second.line == server.line)
    #expect(try second.command(["user", "add", "carol", "--password-stdin"], input: "pw\n").status == 0)
    let third = try restart(second)
    #expect(third.line == server.line)
    #expect(try allocate(third, user, password) == nil)
    #expect(try allocate(third, "carol", "pw") == nil)
    // The keys depend on the realm; the printed line does not.
    let renamed = try restart(third, ["realm=example.org"])
    #expect(renamed.line == server.line)
    #expect(try allocate(renamed, user, password) == nil)
    // If the configuration has users, the generated one is an ordinary user, and the log reports it.
    let configured = try restart(renamed, ["realm=example.org", "auth.users=alice=secret"], printsLine: false)
    #expect(try allocate(configured, user, password) == nil)
    #expect(configured.logged("first-user-active"))
    configured.send(SIGTERM)
    #expect(configured.waitForEnd() == 0)
    #expect(configured.remainingOutput == "")
  }

  @Test("A changed password invalidates the printed line; an emptied store gets a new user")
  func endOfFirstUser() throws {
    let server = try RunningServer(port: Self.port(25), users: false)
    let (user, password) = try pasted(server)
    #expect(try server.command(["user", "passwd", user, "--password-stdin"], input: "changed\n").status == 0)
    let second = try restart(server, printsLine: false)
    #expect(try allocate(second, user, password) == 401)
    #expect(try allocate(second, user, "changed") == nil)
    #expect(!FileManager.default.fileExists(atPath: second.directory.appending(path: "first-user").path))
    #expect(try second.command(["user", "remove", user]).status == 0)
    #expect(try within(seconds: 2) { try allocate(second, user, "changed") == 401 })
    let third = try restart(second)
    #expect(second.remainingOutput == "")
    #expect(third.line.contains("iceServers") && third.line != server.line)
    #expect(try allocate(third, user, password) == 401)
    let (sameUser, newPassword) = try pasted(third)
    #expect(try allocate(third, sameUser, newPassword) == nil)
  }

  @Test("The first user of older versions is moved into the store, unless the store has other users")
  func firstUserOfOldVersions() throws {
    for isReplaced in [false, true] {
      let folder = try TemporaryDirectory()
      try folder.write("old-password\n", to: "first-user")
      let state = URL(filePath: folder.path)
      if isReplaced {
        let added = try Child.run(
          RunningServer.program, ["user", "add", "carol", "--set", "state-directory=\(folder.path)"], environment: [:])
        #expect(added.status == 0)
      }
      let server = try RunningServer(
        port: Self.port(27), users: false, directory: state, waitsForLine: !isReplaced)
      #expect(try allocate(server, "turnpike", "old-password") == (isReplaced ? 401 : nil))
      #expect(server.logged("first-user-retired") == isReplaced)
      if !isReplaced { #expect(try pasted(server).password == "old-password") }
    }
  }

  @Test("Without a state directory the log says that the user ends with the server")
  func firstUserInMemory() throws {
    // As root the server would create the standard directory.
    let wrapper = RunningServer.asOrdinaryUser + ["/usr/bin/env", "XDG_STATE_HOME=/proc/none"]
    let server = try RunningServer(port: Self.port(35), ["state-directory="], users: false, wrapper: wrapper)
    #expect(server.logged("state-in-memory reason=\"/var/lib/turnpike: "))
    #expect(server.logged("first-user-in-memory"))
    let (user, password) = try pasted(server)
    #expect(try allocate(server, user, password) == nil)
  }

  @Test("Users and secrets of the store take effect within a second while the server runs")
  func store() throws {
    let server = try RunningServer(port: Self.port(14), users: false)
    #expect(try server.command(["user", "add", "carol", "--password-stdin"], input: "correct horse\n").status == 0)
    // A look-up reads the store directly, without a delay.
    var carol = try server.session("carol", "correct horse")
    #expect(code { () throws(AllocationSession.Failure) in try carol.allocate() } == nil)
    #expect(try server.command(["user", "passwd", "carol", "--password-stdin"], input: "battery staple\n").status == 0)
    #expect(
      try within(seconds: 1) {
        var session = try server.session("carol", "battery staple")
        return code { () throws(AllocationSession.Failure) in try session.allocate() } == nil
      })
    var old = try server.session("carol", "correct horse")
    #expect(code { () throws(AllocationSession.Failure) in try old.allocate() } == 401)
    // The live allocation keeps the credential that made it.
    #expect(code { () throws(AllocationSession.Failure) in try carol.refresh() } == nil)

    #expect(try server.command(["secret", "add", "--secret-stdin"], input: "north wind\n").status == 0)
    let name = "\(Now.read().wall.advanced(by: .seconds(100))):dave"
    let password = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array("north wind".utf8))
    #expect(
      try within(seconds: 1) {
        var session = try server.session(name, String(decoding: password, as: UTF8.self))
        return code { () throws(AllocationSession.Failure) in try session.allocate() } == nil
      })
    #expect(try server.command(["user", "remove", "carol"]).status == 0)
    #expect(
      try within(seconds: 1) {
        var session = try server.session("carol", "battery staple")
        return code { () throws(AllocationSession.Failure) in try session.allocate() } == 401
      })
  }

  /// Whether a condition becomes true in time. It is checked every 50 ms.
  func within(seconds: UInt32, _ condition: () throws -> Bool) throws -> Bool {
    let deadline = Instant.read().advanced(by: .seconds(seconds))
    while true {
      if try condition() { return true }
      guard Instant.read() < deadline else { return false }
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(50)))
    }
  }
}
