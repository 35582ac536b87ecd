import CLinux
import ClientIO
import Foundation
import NetworkTypes
import STUN
import Testing
import TestSupport
import TURNClient

extension ServerTests {
  // MARK: - Changes of the host while the server runs

  private func allocate(_ server: RunningServer, _ user: String, _ password: String = "pw") throws -> UInt16? {
    var session = try server.session(user, password)
    return code { () throws(AllocationSession.Failure) in try session.allocate() }
  }

  private func add(_ user: String, to folder: String) throws {
    let result = try Child.run(
      RunningServer.program, ["user", "add", user, "--password-stdin", "--set", "state-directory=\(folder)"],
      environment: [:], input: "pw\n")
    #expect(result.status == 0, "\(result.errors)")
  }

  @Test("A replaced store is noticed: its users are valid, the old ones are not", arguments: [false, true])
  func replacedStore(deletesFirst: Bool) throws {
    let server = try RunningServer(port: Self.port(38))
    let other = try TemporaryDirectory()
    try add("carol", to: server.directory.path)
    try add("erin", to: other.path)
    #expect(try allocate(server, "carol") == nil)
    let path = server.directory.appending(path: "turnpike.db").path
    if deletesFirst {
      for name in [path, path + "-wal", path + "-shm"] { try? FileManager.default.removeItem(atPath: name) }
      #expect(server.logs("credential-store-deleted path=\(path)"))
      // The server does not create the directory again; `user add` does.
      #expect(!FileManager.default.fileExists(atPath: path))
      try add("erin", to: server.directory.path)
      #expect(server.logs("credential-store-opened"))
    } else {
      #expect(unsafe rename(other.path("turnpike.db"), path) == 0)
      #expect(server.logs("credential-store-replaced path=\(path)"))
    }
    #expect(try within(seconds: 3) { try allocate(server, "erin") == nil })
    #expect(try within(seconds: 3) { try allocate(server, "carol") == 401 })
    try add("dave", to: server.directory.path)
    #expect(try within(seconds: 3) { try allocate(server, "dave") == nil })
  }

  @Test("A replaced state directory is noticed")
  func replacedFolder() throws {
    let folder = try TemporaryDirectory()
    let state = folder.path("state")
    // Landlock allows the directories that exist at the start, and no later ones with the same names.
    let server = try RunningServer(port: Self.port(39), ["state-directory=\(state)", "hardening.landlock=false"])
    try add("carol", to: state)
    #expect(try allocate(server, "carol") == nil)
    #expect(unsafe rename(state, folder.path("before")) == 0)
    try add("erin", to: state)
    #expect(try within(seconds: 7) { try allocate(server, "erin") == nil })
    #expect(try within(seconds: 3) { try allocate(server, "carol") == 401 })
    // The server watches the new directory like the first.
    try add("dave", to: state)
    #expect(try within(seconds: 3) { try allocate(server, "dave") == nil })
  }

  @Test("An unreadable store is logged with path, owner, mode and the server's user", .enabled(if: geteuid() == 0))
  func unreadableStore() throws {
    let folder = try TemporaryDirectory()
    #expect(unsafe chmod(folder.path, 0o755) == 0)
    try folder.write("", to: "turnpike.db")
    #expect(unsafe chmod(folder.path("turnpike.db"), 0o600) == 0)
    let user = RunningServer.asOrdinaryUser
    for command in [["user", "list"], ["serve"], ["check"]] {
      // The directory is writable, the file in it belongs to root.
      #expect(unsafe chown(folder.path, 3478, 3478) == 0)
      let result = try Child.run(
        user[0], user.dropFirst() + [RunningServer.program] + command + ["--set", "state-directory=\(folder.path)"],
        environment: [:])
      #expect(result.status == (command == ["user", "list"] ? 1 : 78))
      #expect(
        result.errors.contains(
          "\(folder.path("turnpike.db")): Permission denied (owner root, mode 0600, running as uid 3478)"),
        "\(result.errors)")
    }
  }

  @Test("Files that root creates in the service's state directory belong to the service", .enabled(if: geteuid() == 0))
  func ownedState() throws {
    let folder = try TemporaryDirectory()
    #expect(unsafe chmod(folder.path, 0o755) == 0)
    #expect(unsafe chown(folder.path, 3478, 3478) == 0)
    let state = folder.path("state")
    try add("carol", to: state)
    let server = try RunningServer(port: Self.port(29), ["state-directory=\(state)"], users: false, waitsForLine: false)
    #expect(try allocate(server, "carol") == nil)
    for name in ["", "turnpike.db", "turnpike.db-wal", "self-signed.pem", "self-signed-key.pem"] {
      let attributes = try FileManager.default.attributesOfItem(atPath: "\(state)/\(name)")
      #expect(attributes[.ownerAccountID] as? Int == 3478, "\(name)")
    }
    // The service itself can use all files.
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    let own = try RunningServer(
      port: Self.port(29), ["state-directory=\(state)"], users: false, waitsForLine: false,
      wrapper: RunningServer.asOrdinaryUser)
    #expect(try allocate(own, "carol") == nil)
  }

  @Test(
    "A new address of the host is refused as a peer without a signal, and accepted after its removal")
  func addressThatComesLater() throws {
    guard let network = PrivateNetwork() else {
      print("NOTE: network namespaces are refused: addresses that appear later were not tested")
      return
    }
    defer { network.leave() }
    func ip(_ words: String) throws { #expect(try network.ip(words)) }
    try ip("link set lo up")
    let server = try RunningServer(port: Self.port(20))
    var alice = try server.session()
    try alice.allocate()
    // The address exists only in the network namespace of this test.
    let peer = SocketAddress(IPAddress(11, 22, 33, 44), port: 4000)
    func answers() -> [UInt16?] {
      [
        code { () throws(AllocationSession.Failure) in try alice.createPermission([peer]) },
        code { () throws(AllocationSession.Failure) in try alice.bindChannel(to: peer) },
      ]
    }
    #expect(answers() == [nil, nil])
    try ip("address add 11.22.33.44/32 dev lo")
    #expect(server.logs("addresses-changed added=11.22.33.44"))
    #expect(try within(seconds: 2) { answers() == [403, 403] })
    try ip("address del 11.22.33.44/32 dev lo")
    #expect(try within(seconds: 2) { answers() == [nil, nil] })
    // The server ignores the addresses of an interface that is down, and uses them when it comes up.
    guard try network.ip("link add d0 type veth peer name d1") else {
      print("NOTE: veth is not available: an interface that comes up was not tested")
      return
    }
    try ip("address add 11.22.33.44/32 dev d0")
    #expect(answers() == [nil, nil])
    try ip("link set d0 up")
    #expect(try within(seconds: 2) { answers() == [403, 403] })
  }

  @Test("A relay address that appears later works at once; until then the start warns")
  func relayAddressThatComesLater() throws {
    guard let network = PrivateNetwork() else {
      print("NOTE: network namespaces are refused: relay addresses that appear later were not tested")
      return
    }
    defer { network.leave() }
    #expect(try network.ip("link set lo up"))
    let server = try RunningServer(port: Self.port(28), ["relay.addresses=11.22.33.44"])
    #expect(server.logged("relay.addresses: 11.22.33.44 is on no interface of this host"))
    #expect(try allocate(server, "alice", "secret") == 508)
    #expect(try network.ip("address add 11.22.33.44/32 dev lo"))
    #expect(try within(seconds: 2) { try allocate(server, "alice", "secret") == nil })
  }
}

/// An empty network namespace for the calling thread and its child processes, until `leave`.
private struct PrivateNetwork {
  private let before: Int32

  /// Nil if this process may not create a network namespace.
  init?() {
    before = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard before >= 0, unshare(CLONE_NEWNET) == 0 else { return nil }
  }

  /// Runs ip(8) with these arguments; true if it succeeds.
  func ip(_ words: String) throws -> Bool {
    let result = try Child.run("/bin/sh", ["-c", "PATH=$PATH:/usr/sbin:/sbin ip \(words)"])
    return result.status == 0
  }

  func leave() {
    #expect(setns(before, CLONE_NEWNET) == 0)
    close(before)
  }
}
