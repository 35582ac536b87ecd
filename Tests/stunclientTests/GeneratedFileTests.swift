import CommandLine
import TestSupport
import Testing

@testable import stunclient

@Suite("stunclient's manual and completions")
struct GeneratedFileTests {
  @Test("stunclient's manual and completions match the table of options")
  func generated() throws {
    let manual = try Paths.text("docs/man/stunclient.1")
    #expect(try GeneratedFile.differences(Arguments.program.generatedFiles(manual: manual)) == [])
  }
}
