internal import Testing

@testable internal import Configuration

@Suite("Writing YAML")
struct YAMLWriterTests {
  /// Texts that a careless writer would change: YAML keywords, numbers, indicators, invisible characters.
  static let texts = [
    "plain", "/path/to:file", "udp://[::1]:3478?realm=a", "", " ", " a ", "true", "No", "~", "null", "12", "0x1F",
    "1e3",
    "-", "- a", "a: b", "a #b", "#", "*a", "&a", "!a", "%a", "@a", "`", "{a", "[a]", "a, b", "'", "\"", "\\", "a\\nb",
    "a\nb\n", "\r", "\t", "\u{0}\u{1B}[31m", "\u{7F}", "マトリックス", "é", "\u{202E}gpj", "\u{2028}", "\u{FEFF}", "\u{E000}",
    "😀", "---", "...", "<<", "=", String(repeating: "long ", count: 100), String(repeating: "x", count: 500),
  ]

  private func read(_ text: String) throws -> RawValue {
    var reader = YAMLReader { .file(path: "t.yml", line: $0) }
    let value = reader.read(Array(text.utf8))
    #expect(reader.problems.isEmpty)
    return try #require(value)
  }

  private func texts(of value: RawValue) -> [String?] {
    switch value.content {
    case .scalar(let text), .inline(let text): [text]
    case .null: [nil]
    case .list(let items): items.flatMap { texts(of: $0) }
    case .map(let entries): entries.flatMap { [$0.key] + texts(of: $0.value) }
    }
  }

  @Test("Every text is read back unchanged as a value, as a key, in a list and on one line")
  func roundTrip() throws {
    for text in Self.texts {
      let entry = YAMLOutput.Entry(key: text, value: .text(text))
      let nested = YAMLOutput.list([.text(text), .map([entry])])
      let document = YAMLOutput.map([entry, .init(key: "list", value: nested), .init(key: "map", value: .map([entry]))])
      let expected = [text, text, "list", text, text, text, "map", text, text]
      #expect(texts(of: try read(document.document())) == expected)
      #expect(texts(of: try read(document.inlineText)) == expected)
      #expect(texts(of: try read(YAMLOutput.text(text).inlineText)) == [text])
    }
  }

  @Test("Characters that a terminal hides or interprets are escaped")
  func visible() {
    for text in Self.texts {
      let written = YAMLOutput.map([.init(key: text, value: .text(text))]).document()
      let isHidden = written.unicodeScalars.contains { scalar in
        switch scalar.properties.generalCategory {
        case .control: scalar != "\n"
        case .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned: true
        default: false
        }
      }
      #expect(!isHidden, "\(written.debugDescription)")
    }
  }

  @Test("Sections are written as blocks, and each list element on one line")
  func layout() {
    let document = YAMLOutput.map([
      .init(key: "section", value: .map([.init(key: "key", value: .plain("600s"))])),
      .init(key: "none", value: .map([])), .init(key: "left-out", value: .omitted),
      .init(key: "no-items", value: .list([])),
      .init(key: "items", value: .list([.text("a"), .map([.init(key: "id", value: .text("on"))])])),
      .init(key: "name", value: .text("マトリックス")),
    ])
    #expect(
      document.document() == """
        section:
          key: 600s
        none: {}
        no-items: []
        items:
        - a
        - {id: "on"}
        name: マトリックス

        """)
    #expect(YAMLOutput.list([.plain("md5"), .plain("sha256")]).inlineText == "[md5, sha256]")
    #expect(YAMLOutput.text("").inlineText == "\"\"" && YAMLOutput.plain("49152").inlineText == "49152")
  }
}
