import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import TURNClient
import Testing

extension ServerTests {
  // MARK: - Credentials

  @Test("the first start makes a user, prints the same line each time, and stops doing so once there is a store")
  func firstStart() throws {
    let server = try RunningServer(port: Self.port(13), users: false)
    let document = try JSONSerialization.jsonObject(with: Data(server.line.utf8)) as? [String: Any]
    let entry = try #require((document?["iceServers"] as? [[String: Any]])?.first)
    let username = try #require(entry["username"] as? String)
    let password = try #require(entry["credential"] as? String)
    #expect((entry["urls"] as? [String])?.contains("turn:127.0.0.1:\(Self.port(13))?transport=udp") == true)
    var session = try server.session(username, password)
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)

    // Stopped and started anew on the same state: the same line. With a user in the store: none.
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    let second = try RunningServer(port: Self.port(13), users: false, directory: server.directory)
    #expect(second.line == server.line)
    #expect(try second.command(["user", "add", "carol", "--password-stdin"], input: "pw\n").status == 0)
    second.send(SIGTERM)
    #expect(second.waitForEnd() == 0)
    let third = try RunningServer(
      port: Self.port(13), users: false, directory: server.directory, waitsForLine: false)
    third.send(SIGTERM)
    #expect(third.waitForEnd() == 0)
    #expect(third.remainingOutput == "")
  }

  @Test("users and secrets of the store take effect within a second while the server runs")
  func store() throws {
    let server = try RunningServer(port: Self.port(14), users: false)
    #expect(try server.command(["user", "add", "carol", "--password-stdin"], input: "correct horse\n").status == 0)
    // A look-up asks the store itself: no waiting.
    var carol = try server.session("carol", "correct horse")
    #expect(code { () throws(AllocationSession.Failure) in try carol.allocate() } == nil)
    #expect(try server.command(["user", "passwd", "carol", "--password-stdin"], input: "battery staple\n").status == 0)
    #expect(try within(seconds: 1) {
      var session = try server.session("carol", "battery staple")
      return code { () throws(AllocationSession.Failure) in try session.allocate() } == nil
    })
    var old = try server.session("carol", "correct horse")
    #expect(code { () throws(AllocationSession.Failure) in try old.allocate() } == 401)
    // What belongs to the live allocation goes on with the credential that made it.
    #expect(code { () throws(AllocationSession.Failure) in try carol.refresh() } == nil)

    #expect(try server.command(["secret", "add", "--secret-stdin"], input: "north wind\n").status == 0)
    let name = "\(Now.read().wallSeconds + 100):dave"
    let password = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array("north wind".utf8))
    #expect(try within(seconds: 1) {
      var session = try server.session(name, String(decoding: password, as: UTF8.self))
      return code { () throws(AllocationSession.Failure) in try session.allocate() } == nil
    })
    #expect(try server.command(["user", "remove", "carol"]).status == 0)
    #expect(try within(seconds: 1) {
      var session = try server.session("carol", "battery staple")
      return code { () throws(AllocationSession.Failure) in try session.allocate() } == 401
    })
  }

  /// Whether something becomes true in time; asked every 50 ms.
  func within(seconds: UInt32, _ condition: () throws -> Bool) throws -> Bool {
    let deadline = Instant.read().advanced(bySeconds: seconds)
    while true {
      if try condition() { return true }
      guard Instant.read() < deadline else { return false }
      Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 50))
    }
  }
}
