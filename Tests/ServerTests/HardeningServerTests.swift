import ClientIO
import Foundation
import Hardening
import NetworkTypes
import System
import TURNClient
import TLS
import TestSupport
import Testing

/// Tests the privileges that a running server has dropped.
@Suite("Hardening", .serialized)
struct HardeningServerTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.hardening[number] }

  /// The values of one key in the kernel's status of each thread.
  private func statuses(_ server: RunningServer, _ key: String) throws -> Set<String> {
    let tasks = "/proc/\(server.processIdentifier)/task"
    return Set(
      try FileManager.default.contentsOfDirectory(atPath: tasks).map { task in
        let text = try String(contentsOfFile: "\(tasks)/\(task)/status", encoding: .utf8)
        return text.split(separator: "\n").first { $0.hasPrefix("\(key):\t") }.map {
          String($0.dropFirst(key.count + 2))
        } ?? ""
      })
  }

  private func names(_ server: RunningServer) throws -> Set<String> {
    let tasks = "/proc/\(server.processIdentifier)/task"
    return Set(
      try FileManager.default.contentsOfDirectory(atPath: tasks).map { task in
        String(try String(contentsOfFile: "\(tasks)/\(task)/comm", encoding: .utf8).dropLast())
      })
  }

  @Test(
    "Every thread has dropped all privileges, and calls still work",
    .disabled(if: Sanitizer.hasThread, "the thread sanitizer's own thread starts before the program"),
    arguments: Engines.available)
  func everything(engine: String) throws {
    let server = try RunningServer(port: Self.port(0), ["engine=\(engine)", "peers.allow=127.0.0.0/8"])
    #expect(server.logs(" hardened capabilities=none no-new-privileges=on seccomp=on "))
    #expect(server.logged(FileFence.version > 0 ? " landlock=on core-dumps=off" : " landlock=\"unknown"))
    #expect(!server.logged("hardening-incomplete"), "\(server.logText)")
    #expect(try statuses(server, "CapPrm") == ["0000000000000000"])
    #expect(try statuses(server, "CapEff") == ["0000000000000000"])
    #expect(try statuses(server, "NoNewPrivs") == ["1"])
    #expect(try statuses(server, "Seccomp") == ["2"])
    #expect(try coreFileLimit(server.processIdentifier) == ["0", "0", "bytes"])
    // Each thread sets its own name: another thread would have to write to /proc, which Landlock denies.
    #expect(try names(server).isSuperset(of: ["shard-0", "shard-1", "handshakes-0"]))
    for transport in [TransportProtocol.udp, .tcp, .tls, .dtls] {
      var session = try server.session(transport: transport)
      try session.allocate()
    }
    #expect(try server.command(["user", "add", "carol"]).status == 0)
    server.send(SIGHUP)
    #expect(server.logs(" reloaded"))
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("Each part can be switched off")
  func nothing() throws {
    let server = try RunningServer(
      port: Self.port(1),
      [
        "hardening.capabilities=false", "hardening.no-new-privileges=false", "hardening.seccomp=false",
        "hardening.landlock=false", "hardening.core-dumps=true",
      ])
    #expect(
      server.logs(
        " hardened capabilities=unchanged no-new-privileges=off seccomp=off landlock=off core-dumps=on"))
    // A container has a filter of its own.
    #expect(try statuses(server, "Seccomp_filters") == ownStatus("Seccomp_filters"))
    #expect(try coreFileLimit(server.processIdentifier) == coreFileLimit(getpid()))
    #expect(try statuses(server, "NoNewPrivs") == ownStatus("NoNewPrivs"))
    #expect(try statuses(server, "CapEff") == ownStatus("CapEff"))
  }

  /// The limits of a process for core files, soft and hard.
  private func coreFileLimit(_ process: Int32) throws -> [Substring] {
    let text = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
    return line.split(separator: " ").suffix(3)
  }

  private func ownStatus(_ key: String) throws -> Set<String> {
    let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    return [
      text.split(separator: "\n").first { $0.hasPrefix("\(key):\t") }.map { String($0.dropFirst(key.count + 2)) } ?? ""
    ]
  }

  @Test(
    "A reload can read the configuration's folders and nothing else, unless landlock is off", arguments: [true, false])
  func reload(isFenced: Bool) throws {
    let folder = try TemporaryDirectory()
    let elsewhere = try TemporaryDirectory()
    try folder.write("first", to: "secret")
    try elsewhere.write("second", to: "secret")
    func configure(_ path: String) throws {
      try folder.write("auth: { secrets: [\"file:\(path)\"] }\nrealm: example\n", to: "new.yml")
      // Replaces the file by a rename, as editors and configuration management do.
      try FileManager.default.replaceRename(folder.path("new.yml"), folder.path("turnpike.yml"))
    }
    try configure(folder.path("secret"))
    let server = try RunningServer(
      port: Self.port(2), ["hardening.landlock=\(isFenced)"], users: false,
      configuration: folder.path("turnpike.yml"), waitsForLine: false)
    try folder.write("third", to: "other-secret")
    try configure(folder.path("other-secret"))
    server.send(SIGHUP)
    #expect(server.logs(" reloaded"))
    guard server.logged("landlock=on") || !isFenced else { return }
    try configure(elsewhere.path("secret"))
    server.send(SIGHUP)
    guard isFenced else {
      let isReloaded = try AdminServerTests().soon { server.logText.split(separator: " reloaded").count == 3 }
      #expect(isReloaded && !server.logged("configuration-refused"), "\(server.logText)")
      return
    }
    #expect(server.logs("configuration-refused"))
    #expect(server.logs("files-fenced"))
  }
}

extension FileManager {
  fileprivate func replaceRename(_ from: String, _ to: String) throws {
    guard unsafe rename(from, to) == 0 else { throw CocoaError(.fileWriteUnknown) }
  }
}

extension HardeningServerTests {
  /// The output of `turnpike check` for files with these modes.
  private func check(_ modes: [String: Int], password: String = "hunter2") throws -> String {
    let folder = try TemporaryDirectory()
    let pair = try SelfSignedCertificate(
      commonName: "a", hostNames: ["a"], addresses: [], now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
    try FileManager.default.createDirectory(atPath: folder.path("state"), withIntermediateDirectories: false)
    try folder.write(pair.certificate, to: "chain.pem")
    try folder.write(pair.key, to: "key.pem")
    try folder.write("hunter2", to: "secret")
    try folder.write("", to: "state/turnpike.db")
    try folder.write(
      "auth: { users: { alice: \"\(password.replacing("DIR", with: folder.path))\" } }\n"
        + "state-directory: \(folder.path("state"))\n"
        + "tls: { certificate: \(folder.path("chain.pem")), private-key: \(folder.path("key.pem")) }\n",
      to: "turnpike.yml")
    for (name, mode) in ["state": 0o700, "state/turnpike.db": 0o600, "key.pem": 0o640, "turnpike.yml": 0o640].merging(
      modes, uniquingKeysWith: { $1 })
    {
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder.path(name))
    }
    let run = try Child.run(
      RunningServer.program, ["check", "--config", folder.path("turnpike.yml")], environment: [:])
    #expect(run.status == 0)
    return run.errors
  }

  @Test(
    "check warns about a file that others can read or write, with the command that corrects it",
    arguments: [
      ("state", 0o777, "chmod 700"), ("state/turnpike.db", 0o644, "chmod 600"), ("key.pem", 0o644, "chmod 640"),
      ("turnpike.yml", 0o644, "can read the passwords in it"),
    ])
  func modes(name: String, mode: Int, words: String) throws {
    let good = try check([:])
    #expect(!good.contains("other users of this host"), "\(good)")
    let told = try check([name: mode])
    #expect(told.contains(words) && told.contains("/\(name)"), "\(told)")
  }

  @Test("A configuration without passwords of its own may be readable by all")
  func passwordInFile() throws {
    let told = try check(["turnpike.yml": 0o644], password: "file:DIR/secret")
    #expect(!told.contains("can read the passwords"), "\(told)")
  }

  @Test("A symbolic link in place of first-user is not followed")
  func firstUserLink() throws {
    let folder = try TemporaryDirectory()
    let outside = try folder.write("stolen\nturnpike\n", to: "outside")
    try FileManager.default.createDirectory(atPath: folder.path("state"), withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(atPath: folder.path("state/first-user"), withDestinationPath: outside)
    let server = try RunningServer(
      port: Self.port(3), users: false, directory: URL(filePath: folder.path("state")))
    #expect(server.line.contains("\"username\":\"turnpike\"") && !server.line.contains("stolen"), "\(server.line)")
    #expect(try String(contentsOfFile: outside, encoding: .utf8) == "stolen\nturnpike\n")
  }
}
