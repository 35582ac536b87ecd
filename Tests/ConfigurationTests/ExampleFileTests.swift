import Configuration
import Foundation
import TestSupport
import Testing

/// Tests that the samples of deploy/ are configurations.
@Suite("Sample configurations")
struct ExampleFileTests {
  static let names = ["deploy/turnpike.yml"] + ["public", "nat", "lan"].map { "deploy/examples/\($0).yml" }

  @Test("Each sample is read without a problem", arguments: names)
  func read(name: String) throws {
    let reader = ConfigurationReader(environment: [:]) { path in
      path == name ? try Paths.bytes(name) : Array("a-secret-of-the-test".utf8)
    }
    #expect(try reader.read(file: name).warnings.isEmpty)
  }

  /// The blocks of the documents that are marked ```yaml turnpike: whole configurations.
  static func blocks() throws -> [(page: String, text: String)] {
    let folder = Paths.repository("docs")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".md") }.sorted()
    return try (["README.md"] + names.map { "docs/\($0)" }).flatMap { page in
      try Paths.text(page).components(separatedBy: "\n```yaml turnpike\n").dropFirst().map { rest in
        (page, rest.components(separatedBy: "\n```")[0] + "\n")
      }
    }
  }

  @Test("Each configuration in the documents is read without a problem")
  func documents() throws {
    let blocks = try Self.blocks()
    #expect(blocks.count >= 8)
    for block in blocks {
      let reader = ConfigurationReader(environment: [:]) { path in
        Array((path == block.page ? block.text : "a-secret-of-the-test").utf8)
      }
      #expect(throws: Never.self, "\(block.text)") { try #require(try reader.read(file: block.page).warnings.isEmpty) }
    }
  }

  @Test("No sample is left out of these tests, and the commented keys of the package's file are keys, too")
  func complete() throws {
    let folder = Paths.repository("deploy/examples")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).map { "deploy/examples/\($0)" }
    #expect(Set(files).isSubset(of: Self.names))
    let text = try Paths.text("deploy/turnpike.yml").split(separator: "\n", omittingEmptySubsequences: false)
    // "#key" and "#  key" are commented keys, "# Text" is text.
    let lines = text.map { $0.hasPrefix("#") && (!$0.hasPrefix("# ") || $0.hasPrefix("#  ")) ? $0.dropFirst() : $0 }
    let reader = ConfigurationReader(environment: [:]) { path in
      Array((path == "t.yml" ? lines.joined(separator: "\n") : "a-secret-of-the-test").utf8)
    }
    let settings = try reader.read(file: "t.yml").settings
    #expect(settings.realm == "example.org" && settings.publicName == "turn.example.org")
    #expect(settings.relay.advertise == .automatic && settings.auth.secrets == ["a-secret-of-the-test"])
  }
}
