internal import System
internal import Testing

@Suite("Errors that only a bug in the program can cause")
struct OwnMistakeTests {
  @Test("Closing a descriptor that is not open stops the program with the reason")
  func close() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let descriptor = FileDescriptor(owning: 1_000_000)
      _ = consume descriptor
    }
    let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(text.contains("close: Bad file descriptor. This is a bug of this program."))
  }

  @Test("Writing to a closed standard output fails, and the program continues")
  func standardOutput() async {
    await #expect(processExitsWith: .success) {
      let output = FileDescriptor(owning: 1)
      _ = consume output
      do throws(Errno) {
        try StandardStreams.write("lost\n")
        throw Errno.invalidArgument
      } catch {
        precondition(error != .invalidArgument)
      }
    }
  }
}
