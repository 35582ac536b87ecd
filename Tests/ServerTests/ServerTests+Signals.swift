import ClientIO
import Foundation
import STUN
import TURNClient
import TestSupport
import Testing

extension ServerTests {
  // MARK: - Signals

  @Test("SIGHUP takes new users and keeps allocations; a wrong configuration changes nothing")
  func reload() throws {
    let port = Self.port(15)
    let folder = try TemporaryDirectory()
    func write(_ users: String) throws -> String { try folder.write("auth: { users: { \(users) } }\n", to: "turnpike.yml") }
    let file = try write("alice: secret")
    let server = try RunningServer(port: port, environment: [:], users: false, configuration: file)
    var alice = try server.session()
    try alice.allocate()
    _ = try write("erin: lighthouse")
    server.send(SIGHUP)
    #expect(server.logs("reloaded"))
    var erin = try server.session("erin", "lighthouse")
    #expect(code { () throws(AllocationSession.Failure) in try erin.allocate() } == nil)
    #expect(code { () throws(AllocationSession.Failure) in try alice.refresh() } == nil)
    var late = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try late.allocate() } == 401)
    try folder.write("auth: { userz: {} }\n", to: "turnpike.yml")
    server.send(SIGHUP)
    #expect(server.logs("reload-failed"))
    #expect(server.logs("auth.users"))
    #expect(code { () throws(AllocationSession.Failure) in try erin.refresh() } == nil)
  }

  @Test("SIGTERM drains: live allocations run out, new ones are refused, the last one's end ends the server with 0")
  func drain() throws {
    let server = try RunningServer(port: Self.port(16), ["drain-timeout=60s"])
    var alice = try server.session()
    try alice.allocate()
    server.send(SIGTERM)
    #expect(server.logs("draining"))
    #expect(try within(seconds: 2) {
      var late = try server.session("bob", "hunter2")
      let code = code { () throws(AllocationSession.Failure) in try late.allocate() }
      // Granted by a shard that had not heard of the drain yet.
      if code == nil { try late.delete() }
      return code == 508
    })
    #expect(code { () throws(AllocationSession.Failure) in try alice.refresh() } == nil)
    #expect(code { () throws(AllocationSession.Failure) in try alice.delete() } == nil)
    #expect(server.waitForEnd() == 0)
  }

  @Test("a second signal stops at once, with 0")
  func secondSignal() throws {
    let server = try RunningServer(port: Self.port(17), ["drain-timeout=60s"])
    var alice = try server.session()
    try alice.allocate()
    server.send(SIGTERM)
    #expect(server.logs("draining"))
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("kill -9 while users are being added loses none that was reported as added")
  func killed() throws {
    let server = try RunningServer(port: Self.port(18), users: false)
    var added: [String] = []
    for number in 0..<6 {
      #expect(try server.command(["user", "add", "user\(number)", "--password-stdin"], input: "pw\n").status == 0)
      added.append("user\(number)")
      if number == 3 { server.send(SIGKILL) }
    }
    let list = try server.command(["user", "list"]).output
    for name in added { #expect(list.contains(name)) }
  }
}
