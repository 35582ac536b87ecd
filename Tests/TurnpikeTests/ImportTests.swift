import TestSupport
import Testing

@Suite("turnpike import, and --coturn")
struct ImportTests {
  private let file = """
    listening-ip=127.0.0.1
    listening-port=3478
    realm=example.org
    user=alice:correct horse
    cli-port=5766
    fingerprint
    denied-peer-ip=10.0.0.0-10.255.255.255
    """

  @Test("import prints YAML on standard output and remarks on standard error, and check accepts the YAML")
  func translation() async throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write(file, to: "turnserver.conf")
    let result = try await Program().run("import", "coturn", path)
    #expect(result.status == 0)
    #expect(
      result.errors.split(separator: "\n").map { $0.replacing("\(path)", with: "FILE") } == [
        "turnpike: warning: FILE:5: cli-port: there is no telnet interface: use turnpike user and turnpike secret",
        "turnpike: note: FILE:6: fingerprint: an answer has FINGERPRINT if the request has",
      ])
    let yaml = try folder.write(result.output, to: "turnpike.yml")
    let state = "state-directory=\(folder.path)"
    let checked = try await Program().run("check", yaml, "--set", state)
    let direct = try await Program().run("check", "--coturn", path, "--set", state)
    #expect(checked.status == 0 && direct.status == 0, "\(checked.errors)\(direct.errors)")
    #expect(checked.output == direct.output && checked.output.contains("realm: example.org"))
    #expect(direct.errors.contains("\(path):5: cli-port: "))
  }

  @Test("A value that the server refuses gives exit status 78, and the error names the line of coturn's file")
  func wrongValue() async throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write("realm=example.org\nmax-allocate-lifetime=forever\n", to: "turnserver.conf")
    for words in [["import", "coturn", path], ["check", "--coturn", path], ["serve", "--coturn", path]] {
      let result = try await Program().run(words)
      #expect(result.status == 78, "\(words)")
      #expect(result.errors.contains("turnserver.conf:2: lifetime.maximum: "), "\(result.errors)")
    }
  }

  @Test(
    "Wrong usage gives exit status 64, and a missing file 1",
    arguments: [
      (["import"], 64), (["import", "nginx", "x"], 64), (["import", "coturn"], 64),
      (["import", "coturn", "a", "b"], 64),
      (["import", "coturn", "/nonexistent"], 1), (["check", "--coturn", "a", "--config", "b"], 64),
    ] as [([String], Int32)])
  func words(words: [String], status: Int32) async throws {
    let result = try await Program().run(words)
    #expect(result.status == status && result.output.isEmpty && !result.errors.isEmpty)
  }
}
