@testable internal import Configuration
internal import Testing

@Suite("The effective configuration, read again")
struct EffectiveConfigurationTests {
  private static let files = [
    "/run/secrets/turnpike": "north-wind", "/run/secrets/oauth-key": key, "/run/secrets/alice": "a",
  ]
  private static let key = String(repeating: "A", count: 43) + "="
  private static let examples = Schema.settings.fields.map { (path: $0.path, example: $0.example) }

  /// `a.b: c` as sections.
  private static func yaml(_ path: String, _ value: String) -> String {
    path.split(separator: ".").reversed().reduce(value) { "{ \($1): \($0) }" }
      .replacing("BASE64", with: key)
  }

  private func effective(_ parsed: ParsedConfiguration, showsSecrets: Bool) -> String {
    parsed.settings.effectiveYAML(showsSecrets: showsSecrets, references: parsed.references)
  }

  @Test("Every key with its example gives the same settings and the same output", arguments: examples.map(\.path))
  func keys(path: String) throws {
    let example = try #require(Self.examples.first { $0.path == path }).example
    let first = parse(Self.yaml(path, example), files: Self.files)
    let wrong = errors(first).filter { $0.key == path && $0.message.contains("is not") }
    #expect(wrong.isEmpty, "the example of \(path) is wrong")
    for showsSecrets in [true, false] {
      let output = effective(first, showsSecrets: showsSecrets)
      let second = parse(output, files: Self.files)
      if Settings.missingKeys.contains(path) || !showsSecrets && output.contains("<redacted>") { continue }
      var expected = first.settings
      expected.listeners = expected.listeners ?? expected.effectiveListeners
      #expect(second.settings == expected)
      #expect(effective(second, showsSecrets: showsSecrets) == output)
      // Keys that contradict each other in the first configuration do so in the second.
      #expect(errors(second).map(\.message) == errors(first).map(\.message))
    }
  }

  @Test("A file: or env: reference is printed as it was written, and a secret itself only on request")
  func secrets() {
    let yaml = """
      auth:
        secrets: [ "file:/run/secrets/turnpike", "env:OTHER", plain ]
        users: { alice: "file:/run/secrets/alice" }
      """
    let parsed = parse(yaml, environment: ["OTHER": "south"], files: Self.files)
    let output = effective(parsed, showsSecrets: false)
    for text in ["- file:/run/secrets/turnpike", "- env:OTHER", "- \"<redacted>\"", "alice: file:/run/secrets/alice"] {
      #expect(output.contains(text), "\(text)")
    }
    for text in ["north-wind", "south", "plain"] { #expect(!output.contains(text)) }
    let shown = effective(parsed, showsSecrets: true)
    #expect(shown.contains("- plain"))
    #expect(!shown.contains("north-wind"))
    #expect(parse(shown, environment: ["OTHER": "south"], files: Self.files).settings.auth == parsed.settings.auth)
  }

  @Test("Without IPv6 the default listeners have IPv4 only")
  func families() {
    #expect(!Settings().effectiveYAML(hasIPv6: false).contains("[::]"))
    #expect(Settings().effectiveYAML(hasIPv6: true).contains("[::]"))
  }

  @Test(
    "A redacted value is refused",
    arguments: [
      "auth: { secrets: [ \"<redacted>\" ] }", "auth: { users: { a: \"<redacted>\" } }",
      "admin: { token: \"<redacted>\" }",
      "auth: { store: \"redis://<redacted>@host\" }",
      "auth: { oauth-keys: [ { id: a, key: \"<redacted>\", algorithm: A256GCM } ] }",
    ])
  func redacted(yaml: String) {
    let problem = errors(parse(yaml)).first
    #expect(problem?.message.contains("turnpike check prints in place of a secret") == true)
    #expect(problem?.suggestion?.contains("file:PATH") == true)
  }
}
