import TURN
import TestSupport
import Testing

@testable import TurnpikeServer

@Suite("Warnings about limits")
struct LimitTextTests {
  static let texts = RelayLimit.allCases.map { $0.text(realm: nil) } + ShardLimit.allCases.map(\.text)

  @Test("Each limit has its own name, and an existing key or the text for a limit without a key")
  func keys() throws {
    // The manual is generated from the keys and must match them.
    let manual = try Paths.text("docs/man/turnpike.yml.5")
    #expect(Set(Self.texts.map(\.name)).count == Self.texts.count)
    for text in Self.texts where text.key != LimitText.fixed && !text.key.hasSuffix("(sysctl)") {
      #expect(manual.contains(text.key), "\(text.key)")
    }
    #expect(RelayLimit.channels.text(realm: "example.net").key == "realms.example.net.limits.channels-per-allocation")
  }

  @Test("docs/log.md lists every limit")
  func documented() throws {
    let document = try Paths.text("docs/log.md")
    for text in Self.texts { #expect(document.contains("`\(text.name)`"), "\(text.name)") }
    for quota in [QuotaLedger.Quota.user, .address, .server, .realm] { #expect(document.contains("`\(quota.name)`")) }
  }
}
