@testable internal import Configuration
internal import NetworkTypes
internal import Testing

@Suite("Values that are easily misread")
struct DeceptiveValueTests {
  @Test(
    "A list in brackets is a list in the file, the environment and --set",
    arguments: [
      ("[a]", ["a"]), ("[a, b]", ["a", "b"]), (" [ a , b ] ", ["a", "b"]), ("a,b", ["a", "b"]), ("[]", []), ("", []),
      ("[\"a,b\"]", ["a,b"]), ("a]", ["a]"]),
    ])
  func lists(text: String, secrets: [String]) {
    let override = parse(set: ["auth.secrets=\(text)"])
    let environment = parse(environment: ["TURNPIKE_AUTH_SECRETS": text])
    #expect(override.settings.auth.secrets == secrets && override.problems.isEmpty)
    #expect(environment.settings.auth.secrets == secrets && environment.problems.isEmpty)
  }

  @Test(
    "Brackets around an IPv6 address do not make a list",
    arguments: ["[2001:db8::1],[2001:db8::2]", "[2001:db8::1, 2001:db8::2]"])
  func bracketedAddresses(text: String) {
    let parsed = parse(set: ["relay.addresses=\(text)"])
    #expect(errors(parsed).isEmpty)
    #expect(parsed.settings.relay.addresses.map(\.description) == ["2001:db8::1", "2001:db8::2"])
  }

  @Test(
    "A map in braces is a map in the file, the environment and --set",
    arguments: ["{ alice: a, bob: \"b,c\" }", "{alice: a, bob: \"b,c\"}"])
  func maps(text: String) {
    #expect(parse(set: ["auth.users=\(text)"]).settings.auth.users == ["alice": "a", "bob": "b,c"])
  }

  @Test("A secret that begins like a list is refused, and the message does not show it")
  func brokenList() {
    let problems = errors(parse(set: ["auth.secrets=[s3cr3t, ]]"]))
    #expect(problems.count == 1)
    #expect(problems.allSatisfy { !$0.description.contains("s3cr3t") })
  }

  @Test(
    "A warning names blanks, line breaks, quotation marks and byte order marks at a secret's ends",
    arguments: [
      ("secret\n\n", "ends with a line break"), ("secret \n", "ends with a space"),
      ("\u{FEFF}secret\n", "begins with a byte order mark"),
      ("\"secret\"\n", "is in quotation marks"), ("one\ntwo\n", "has more than one line"),
    ])
  func files(content: String, words: String) {
    for parsed in [
      parse("auth: { secrets: [ \"file:/secret\" ] }\n", files: ["/secret": content]),
      parse(set: ["auth.secrets=file:/secret"], files: ["/secret": content]),
      parse("auth: { users: { alice: \"file:/secret\" } }\n", files: ["/secret": content]),
    ] {
      #expect(parsed.problems.map(\.severity) == [.warning])
      #expect(parsed.problems.first?.message.contains(words) == true, "\(parsed.problems)")
      #expect(parsed.problems.first?.description.contains("secret ") == false)
    }
  }

  @Test("A warning names quotation marks in an environment variable; quoting in YAML gives none")
  func quotationMarks() {
    let environment = parse(environment: ["TURNPIKE_AUTH_SECRETS": "\"abc\""])
    #expect(environment.problems.first?.message.contains("is in quotation marks") == true)
    let named = parse("auth: { secrets: [ \"env:SECRET\" ] }\n", environment: ["SECRET": "'abc'"])
    #expect(named.problems.first?.message.contains("\"SECRET\" is in quotation marks") == true)
    let file = parse("auth: { secrets: [ \"'abc'\", \" x \" ] }\n")
    #expect(file.problems.isEmpty && file.settings.auth.secrets == ["'abc'", " x "])
    #expect(parse("auth: { secrets: [ \"file:/secret\" ] }\n", files: ["/secret": "secret\r\n"]).problems.isEmpty)
  }

  @Test("A byte that is not UTF-8 is an error with its line", arguments: [1, 3, 7])
  func encoding(line: Int) throws {
    let bytes =
      Array(String(repeating: "# c\u{E4}fe\n", count: line - 1).utf8) + Array("realm: caf".utf8) + [0xE9, 0x0A]
    let reader = ConfigurationReader(environment: [:]) { _ in bytes }
    let problems = errors(reader.parse(file: "t.yml", overrides: []))
    #expect(problems.map(\.origin) == [.file(path: "t.yml", line: line)])
    #expect(problems.first?.suggestion == "save the file as UTF-8")
  }

  @Test("UTF-16 with a byte order mark is read")
  func utf16() {
    let bytes: [UInt8] = [0xFF, 0xFE] + "realm: example.org\n".utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    let reader = ConfigurationReader(environment: [:]) { _ in bytes }
    let parsed = reader.parse(file: "t.yml", overrides: [])
    #expect(parsed.problems.isEmpty && parsed.settings.realm == "example.org")
  }

  @Test(
    "A turnserver.conf is recognised, whatever YAML makes of it",
    arguments: [
      "listening-port=3478\n", "# comment\nlt-cred-mech\nuse-auth-secret\n",
      "realm=a\nexternal-ip=192.0.2.1/10.0.0.1\n",
      "user=alice:secret\nfingerprint\n", "  static-auth-secret = abc\n",
    ])
  func coturn(content: String) {
    let problems = errors(parse(content))
    #expect(problems.count == 1)
    #expect(problems.first?.message.contains("coturn") == true, "\(problems)")
  }

  @Test("Other text without keys is not taken for a turnserver.conf", arguments: ["hello\n", "- a\n- b\n"])
  func notCoturn(content: String) {
    #expect(errors(parse(content)).allSatisfy { !$0.message.contains("coturn") })
  }

  @Test("--set without a key is an error that says so")
  func noKey() {
    let problems = errors(parse(set: ["=x"]))
    #expect(problems.first?.description == "--set : no key stands before the =; write --set KEY=VALUE")
  }

  @Test("A duration may be written in days", arguments: [("1d", 86_400), ("24h", 86_400), ("0d", 0)])
  func days(text: String, seconds: UInt32) {
    #expect(parse(set: ["drain-timeout=\(text)"]).settings.drainTimeout == .seconds(seconds))
  }

  @Test("The effective configuration has no key without effect, and reads back the same")
  func effective() {
    let text = Settings().effectiveYAML()
    #expect(text.contains("rfc5766-channels: true") && text.contains("bandwidth-per-allocation"))
    #expect(
      parse(text).settings
        == {
          var settings = Settings()
          settings.listeners = Settings.availableDefaultListeners
          return settings
        }())
    #expect(Set(ConfigurationKey.all.filter(\.isMissing).map(\.path)) == Settings.missingKeys)
  }
}
