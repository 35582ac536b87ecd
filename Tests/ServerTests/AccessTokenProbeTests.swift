import Foundation
import Testing

/// `stunclient` with what `turnpike oauth-token` prints.
@Suite("The probe and access tokens", .serialized)
struct AccessTokenProbeTests {
  private func run(_ program: URL, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = program
    process.arguments = arguments
    process.environment = [:]
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, output)
  }

  @Test func `A token opens a relay; one that is over, damaged or of another key does not`() throws {
    let key = "{id: north, key: \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\", algorithm: A256GCM}"
    let folder = FileManager.default.temporaryDirectory.appending(path: "turnpike-token-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let configuration = folder.appending(path: "turnpike.yml")
    try Data("auth: { oauth-keys: [ \(key) ] }\n".utf8).write(to: configuration)
    let server = try RunningServer(port: 25_420, users: false, configuration: configuration.path)
    let made = try run(RunningServer.program, ["oauth-token", "--config", configuration.path])
    #expect(made.status == 0, "\(made.output)")
    let token = folder.appending(path: "token.json")
    let stunclient = RunningServer.program.deletingLastPathComponent().appending(path: "stunclient")
    for uri in ["turn:127.0.0.1:25420", "turn:127.0.0.1:25420?transport=tcp"] {
      try Data(made.output.utf8).write(to: token)
      let good = try run(stunclient, ["--oauth-token-file", token.path, uri])
      #expect(good.status == 0, "\(good.output)")
      try Data(made.output.replacingOccurrences(of: "\"mac_key\":\"", with: "\"mac_key\":\"AAAA").utf8).write(to: token)
      let wrong = try run(stunclient, ["--oauth-token-file", token.path, uri])
      #expect(wrong.status != 0)
      try Data(made.output.replacingOccurrences(of: "north", with: "south").utf8).write(to: token)
      let other = try run(stunclient, ["--oauth-token-file", token.path, uri])
      #expect(other.status == 2 && other.output.contains("its kid is not among the server's keys"), "\(other.output)")
    }
    try Data("{\"kid\":\"x\"}".utf8).write(to: token)
    #expect(try run(stunclient, ["--oauth-token-file", token.path, "turn:127.0.0.1:25420"]).status == 3)
    withExtendedLifetime(server) {}
  }
}
