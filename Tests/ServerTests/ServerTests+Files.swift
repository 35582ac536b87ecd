import ClientIO
import Foundation
import NetworkTypes
import System
import Testing
import TestSupport
import TLS
import TURNClient

extension ServerTests {
  // MARK: - Files that change, and files that cannot be opened

  /// A certificate and key that `turnpike.yml` names.
  private struct Pair {
    let folder: TemporaryDirectory
    var configuration: String { folder.path("turnpike.yml") }

    init() throws {
      folder = try TemporaryDirectory()
      try write("first")
      try folder.write(
        "auth: { users: { alice: secret } }\n"
          + "tls: { certificate: \(folder.path("chain.pem")), private-key: \(folder.path("key.pem")) }\n",
        to: "turnpike.yml")
    }

    func write(_ name: String) throws {
      let pair = try SelfSignedCertificate(
        commonName: name, hostNames: [name], addresses: [], now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
      try folder.write(pair.certificate, to: "chain.pem")
      try folder.write(pair.key, to: "key.pem")
    }

    /// Replaces a file by a named pipe without a writer, so that opening it blocks.
    func replaceByPipe(_ name: String) throws {
      try FileManager.default.removeItem(atPath: folder.path(name))
      #expect(unsafe mkfifo(folder.path(name), 0o600) == 0)
    }
  }

  /// The subject of the certificate that a server shows.
  private func subject(_ server: RunningServer) throws -> String? {
    let connection = try ClientConnection(
      ClientConnection.Settings(
        transport: .tls, remote: loopback(1, server.tlsPort), serverName: "localhost",
        tls: try TLSContext(client: .none)),
      until: soon)
    return connection.tlsSummary?.certificate?.subject
  }

  @Test(
    "A pipe in place of a file is refused by name, and delays no signal",
    arguments: [
      ("chain.pem", "configuration-refused"), ("key.pem", "configuration-refused"),
      ("turnpike.yml", "configuration-refused"),
    ])
  func pipes(name: String, event: String) throws {
    let pair = try Pair()
    let server = try RunningServer(port: Self.port(30), users: false, configuration: pair.configuration)
    try pair.replaceByPipe(name)
    server.send(SIGHUP)
    #expect(server.logs("\(pair.folder.path(name))"))
    #expect(server.logs("not a regular file") && server.logged(event) && server.logs("reload-failed"))
    #expect(!server.logged("reloaded"))
    var alice = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try alice.allocate() } == nil)
    let before = Date()
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
    #expect(Date().timeIntervalSince(before) < 3)
  }

  @Test(
    "Without a signal the server notices that a key file becomes a pipe, and loads the next certificate", .tags(.slow))
  func watchedPipe() throws {
    let pair = try Pair()
    let server = try RunningServer(port: Self.port(31), users: false, configuration: pair.configuration)
    #expect(try subject(server) == "CN=first")
    try pair.replaceByPipe("key.pem")
    #expect(
      server.logs("certificates-failed", seconds: 8) && server.logged("key.pem: can't be read: it is a directory, pipe")
    )
    #expect(try subject(server) == "CN=first")
    try FileManager.default.removeItem(atPath: pair.folder.path("key.pem"))
    try pair.write("second")
    #expect(server.logs("certificates-loaded", seconds: 8))
    #expect(try within(seconds: 2) { try subject(server) == "CN=second" })
  }

  @Test(
    "A network drive that hangs delays no signal and no client, and the log names the file", .tags(.slow),
    arguments: [
      "auth: { users: { alice: \"file:DRIVE/password\" } }",
      "auth: { users: { alice: secret } }\ntls: { certificate: DRIVE/chain.pem, private-key: DRIVE/key.pem }",
    ])
  func deadDrive(yaml: String) throws {
    let folder = try TemporaryDirectory()
    guard let drive = DeadDrive(at: folder.path("drive")) else {
      print("NOTE: FUSE is not available: a drive that does not answer was not tested")
      return
    }
    defer { drive.remove() }
    let file = try folder.write("auth: { users: { alice: secret } }\n", to: "turnpike.yml")
    let server = try RunningServer(port: Self.port(32), users: false, drainTimeout: "1m", configuration: file)
    try folder.write(yaml.replacing("DRIVE", with: folder.path("drive")), to: "turnpike.yml")
    for _ in 0..<10 { server.send(SIGHUP) }
    #expect(server.logs("file-slow file=\(folder.path("drive"))/", seconds: 12))
    var alice = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try alice.allocate() } == nil)
    server.send(SIGTERM)
    #expect(server.logs("draining allocations=1"))
    server.send(SIGTERM)
    #expect(server.logs(" stopped"))
    #expect(server.waitForEnd() == 0)
  }

  @Test("The start reads secrets from pipes")
  func secretFromPipe() throws {
    let folder = try TemporaryDirectory()
    #expect(unsafe mkfifo(folder.path("secret"), 0o600) == 0)
    let path = folder.path("secret")
    Foundation.Thread.detachNewThread { try? "north wind\n".write(toFile: path, atomically: false, encoding: .utf8) }
    let server = try RunningServer(
      port: Self.port(32), ["auth.users=alice=file:\(path)"], users: false, waitsForLine: false)
    var alice = try server.session("alice", "north wind")
    #expect(code { () throws(AllocationSession.Failure) in try alice.allocate() } == nil)
  }

  @Test("After any number of SIGHUPs the last configuration is in force")
  func manyReloads() throws {
    let pair = try Pair()
    let server = try RunningServer(port: Self.port(33), users: false, configuration: pair.configuration)
    for number in 0..<20 {
      try pair.folder.write("auth: { users: { alice: password-\(number) } }\n", to: "turnpike.yml")
      server.send(SIGHUP)
    }
    #expect(
      try within(seconds: 5) {
        var alice = try server.session("alice", "password-19")
        return code { () throws(AllocationSession.Failure) in try alice.allocate() } == nil
      })
  }

  @Test("A reload to TLS 1.3 only is refused with a DTLS listener, and the certificate stays watched", .tags(.slow))
  func reloadIntoTLS13() throws {
    let pair = try Pair()
    let server = try RunningServer(port: Self.port(34), users: false, configuration: pair.configuration)
    let text = try String(contentsOfFile: pair.configuration, encoding: .utf8)
    try pair.folder.write(text.replacing("tls: {", with: "tls: { minimum-version: \"1.3\","), to: "turnpike.yml")
    server.send(SIGHUP)
    #expect(server.logs("configuration-refused") && server.logs("tls.minimum-version: is 1.3"))
    #expect(server.logs("reload-failed"))
    try pair.write("second")
    #expect(server.logs("certificates-loaded", seconds: 8))
    #expect(try within(seconds: 2) { try subject(server) == "CN=second" })
  }

  @Test("With TLS 1.3 only the default listeners have no DTLS, and the log says so")
  func defaultListenersOfTLS13() throws {
    let directory = try TemporaryDirectory()
    let script =
      "ip link set lo up && exec \(RunningServer.program) --set tls.minimum-version=1.3 "
      + "--set drain-timeout=0s --set state-directory=\(directory.path("state"))"
    let errors = Pipe()
    let child = try Child(
      "/usr/bin/unshare", ["-rn", "sh", "-c", script], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
      errors: .pipe(errors))
    var log = ""
    while !log.contains(" ready "), case let data = errors.fileHandleForReading.availableData, !data.isEmpty {
      log += String(decoding: data, as: UTF8.self)
    }
    child.kill()
    guard !log.contains("Operation not permitted") else {
      print("NOTE: unshare is refused: the default listeners were not tested")
      return
    }
    #expect(log.contains("listening transport=tls") && !log.contains("listening transport=dtls"), "\(log)")
    #expect(log.contains("leaves the DTLS listeners out"))
  }
}

/// A FUSE file system whose program never answers. Opening a file on it blocks, as on a network drive without a server.
private struct DeadDrive {
  private let device: Int32
  private let path: String

  /// Nil if this process may not mount a file system.
  init?(at path: String) {
    self.path = path
    device = unsafe open("/dev/fuse", O_RDWR | O_CLOEXEC)
    guard device >= 0, unsafe mkdir(path, 0o700) == 0 else { return nil }
    let options = "fd=\(device),rootmode=40000,user_id=0,group_id=0"
    guard unsafe mount("dead", path, "fuse", 0, options) == 0 else { return nil }
  }

  func remove() {
    #expect(unsafe umount2(path, Int32(MNT_DETACH)) == 0)
    close(device)
  }
}
