import ClientIO
import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import Testing
import TestSupport
import TURNClient

extension ServerTests {
  // MARK: - Signals

  @Test("SIGHUP accepts new users and keeps allocations; a wrong configuration changes nothing")
  func reload() throws {
    let port = Self.port(15)
    let folder = try TemporaryDirectory()
    func write(_ users: String) throws -> String {
      try folder.write("auth: { users: { \(users) } }\n", to: "turnpike.yml")
    }
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

  @Test("SIGTERM refuses new allocations, keeps live ones, and exits with 0 after the last one")
  func drain() throws {
    let server = try RunningServer(port: Self.port(16), ["drain-timeout=60s"])
    var alice = try server.session()
    try alice.allocate()
    server.send(SIGTERM)
    #expect(server.logs("draining"))
    #expect(
      try within(seconds: 2) {
        var late = try server.session("bob", "hunter2")
        let code = code { () throws(AllocationSession.Failure) in try late.allocate() }
        // Without an error code, a shard that did not know of the drain yet has granted the Allocate.
        if code == nil { try late.delete() }
        return code == 508
      })
    #expect(code { () throws(AllocationSession.Failure) in try alice.refresh() } == nil)
    #expect(code { () throws(AllocationSession.Failure) in try alice.delete() } == nil)
    #expect(server.waitForEnd() == 0)
  }

  @Test("A second signal stops the server at once, with 0")
  func secondSignal() throws {
    let server = try RunningServer(port: Self.port(17), ["drain-timeout=60s"])
    var alice = try server.session()
    try alice.allocate()
    server.send(SIGTERM)
    #expect(server.logs("draining"))
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  /// A wrapper that runs a server on a pseudo-terminal and writes its process number into a file. The terminal's output
  /// goes to standard error.
  private func terminal(_ file: String) -> [String] {
    let script = #"exec script -qefc 'echo $$ > "$NUMBER"; exec "$PROGRAM" $ARGUMENTS' /dev/null 1>&2"#
    return ["/bin/sh", "-c", "export NUMBER=\(file) PROGRAM=\"$1\"; shift; export ARGUMENTS=\"$*\"; \(script)", "sh"]
  }

  @Test(
    "Ctrl-C on a terminal drains for ten seconds unless drain-timeout is set; the log says that a second one stops",
    arguments: [(nil, "timeout=10 "), ("1m", "timeout=60 ")] as [(String?, String)])
  func terminal(timeout: String?, line: String) throws {
    guard FileManager.default.fileExists(atPath: "/usr/bin/script") else {
      print("NOTE: script(1) is not installed: Ctrl-C on a terminal was not tested")
      return
    }
    let folder = try TemporaryDirectory()
    let server = try RunningServer(
      port: Self.port(36), environment: ["PATH": "/usr/bin:/bin"], drainTimeout: timeout,
      wrapper: terminal(folder.path("number")))
    let text = try String(contentsOfFile: folder.path("number"), encoding: .utf8)
    let number = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    var alice = try server.session()
    try alice.allocate()
    #expect(kill(number, SIGINT) == 0)
    #expect(server.logs("draining allocations=1 \(line)"))
    #expect(server.logs("remedy=\"press Ctrl-C again, or send SIGTERM again, to stop at once\""))
    #expect(kill(number, SIGINT) == 0)
    #expect(server.logs(" stopped"))
    #expect(server.waitForEnd() == 0)
  }

  @Test("Without a terminal each signal drains for an hour", arguments: [SIGTERM, SIGINT])
  func longDrain(signal: Int32) throws {
    let server = try RunningServer(port: Self.port(37), drainTimeout: nil)
    var alice = try server.session()
    try alice.allocate()
    server.send(signal)
    #expect(server.logs("draining allocations=1 timeout=3600 "))
    #expect(server.logs("to stop at once"))
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("kill -9 while users are added loses no user that was reported as added")
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

  @Test(
    "Unused signals do not end the server",
    arguments: [SIGUSR1, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ, SIGPIPE, SIGIO, SIGPWR, 34, 64])
  func unusedSignals(signal: Int32) throws {
    let server = try RunningServer(port: Self.port(28))
    server.send(signal)
    // The next signal is handled, so the process lives and reads its signals.
    server.send(SIGHUP)
    #expect(server.logs("reloaded"))
    #expect(server.isRunning)
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("An unread log blocks no client, reload or shutdown", .tags(.slow), arguments: ["epoll", "auto"])
  func unreadLog(engine: String) throws {
    let server = try RunningServer(port: Self.port(29), ["engine=\(engine)"])
    server.stopReadingLog()
    // Each session writes two lines or more: together several times the 64 KiB of a pipe.
    for _ in 0..<300 {
      var alice = try server.session()
      try alice.allocate()
      try alice.delete()
    }
    server.send(SIGHUP)
    server.readLogAgain()
    #expect(server.logs(" reloaded"))
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    #expect(server.logs(" stopped"))
  }

  @Test("SIGTERM ends a start that waits for its public address at once, with 0", arguments: [SIGTERM, SIGINT])
  func stopDuringStart(signal: Int32) throws {
    let silent = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let place = "stun:127.0.0.1:\(silent.localAddress?.port ?? 0)"
    let folder = try TemporaryDirectory()
    let server = try RunningServer(
      port: Self.port(40),
      ["state-directory=\(folder.path("state"))", "relay.advertise=auto", "relay.detect=\(place)"],
      ready: "state-directory-made")
    // The start waits three seconds for an answer to this Binding request.
    #expect(Readiness.wait(for: silent.rawValue, until: Instant.read().advanced(by: .seconds(5))))
    server.send(signal)
    #expect(server.waitForEnd() == 0)
    #expect(server.logs(" stopped") && !server.logged(" ready ") && !server.logged("public-address-failed"))
  }

  @Test("A public address that is found for two relays is a warning")
  func sharedAddress() throws {
    let server = try RunningServer(
      port: Self.port(41), ["relay.addresses=127.0.0.1,127.0.0.2", "relay.advertise=localhost"])
    #expect(server.logs("warning public-address-shared address=127.0.0.1 relays=127.0.0.1,127.0.0.2 "))
  }
}
