import ClientIO
import Foundation
import JSON
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing

extension AdminServerTests {
  @Test(
    "turnpike capture writes what stunclient reads: one user's messages, without secrets",
    arguments: [TransportProtocol.udp, .tls])
  func capture(transport: TransportProtocol) throws {
    let (server, admin) = try start(transport == .udp ? 41 : 42, ["log.level=info"])
    let folder = try TemporaryDirectory()
    let file = folder.path + "/alice.pcapng"
    let capture = try Child(
      RunningServer.program,
      ["capture", "--user", "alice", "--seconds", "600", "--output", file, "--admin", admin.url], environment: [:])
    #expect(try soon { try admin.ask("GET", "/api/v1/captures/1").status == 409 })
    #expect(server.logs("info capture-started user=alice seconds=600"))
    #expect(try admin.ask("POST", "/api/v1/captures?user=bob").status == 409)
    var alice = try server.session(transport: transport)
    var bob = try server.session("bob", "hunter2")
    try bob.allocate()
    try alice.allocate()
    try alice.createPermission([SocketAddress("127.0.0.1:9")!])
    try alice.delete()
    try bob.delete()
    // A signal ends the capture early.
    capture.send(SIGINT)
    #expect(capture.wait() == 0)
    let report = try Child.run(Paths.program("stunclient"), ["decode", file])
    for text in ["Allocate", "CreatePermission", "Refresh", "XOR-RELAYED-ADDRESS"] {
      #expect(report.output.contains(text), "\(text) is not in \(report.output)")
    }
    #expect(!report.output.contains("bob"))
    // MESSAGE-INTEGRITY has 20 zeros.
    #expect(report.output.contains(String(repeating: "0", count: 40)))
    if transport == .udp { try wireshark(reads: file, port: server.port) }
    let ended = try admin.document("/api/v1/captures/1", "DELETE")
    #expect(ended["messages"]?.integer == 6 && ended["left-out"]?.integer == 0 && ended["running"] == .bool(false))
    #expect(try admin.ask("GET", "/api/v1/captures/1").status == 200)
    #expect(try admin.document("/api/v1/captures?user=bob&seconds=1", "POST")["id"]?.string == "2")
    #expect(try admin.ask("GET", "/api/v1/captures/1").status == 404)
  }

  /// tshark, Wireshark's program for terminals, must read each message without an error.
  private func wireshark(reads file: String, port: UInt16) throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/tshark") else {
      print("NOTE: tshark is not installed: Wireshark did not read the capture")
      return
    }
    let shown = try Child.run("/usr/bin/tshark", ["-r", file, "-d", "udp.port==\(port),stun"])
    let lines = shown.output.split(separator: "\n")
    #expect(shown.status == 0 && lines.count == 6, "\(shown.output)\(shown.errors)")
    let names = ["Allocate", "CreatePermission", "Refresh"].flatMap { [$0, $0] }
    for (line, name) in zip(lines, names) {
      #expect(line.contains(name) && !line.contains("alformed"), "\(line)")
    }
  }
}
