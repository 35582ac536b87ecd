import CommandLine
import TestSupport
import Testing

@testable import turnload

@Suite("turnload's manual and completions")
struct GeneratedFileTests {
  @Test("turnload's manual and completions match the table of options")
  func generated() throws {
    let manual = try Paths.text("docs/man/turnload.1")
    #expect(try GeneratedFile.differences(Arguments.program.generatedFiles(manual: manual)) == [])
  }
}
