internal import CommandLine
internal import TestSupport
internal import Testing

@testable internal import turnpike

@Suite("turnpike's manuals and completions")
struct GeneratedFileTests {
  @Test("The manuals and completions match the table of options and the schema")
  func generated() throws {
    let manual = try Paths.text("docs/man/turnpike.1")
    let files =
      Command.program.generatedFiles(manual: manual) + [
        ("docs/man/turnpike.yml.5", ConfigurationReference.manual + "\n")
      ]
    #expect(try GeneratedFile.differences(files) == [])
  }
}
