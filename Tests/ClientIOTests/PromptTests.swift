import Foundation
import Testing
import TestSupport

/// Tests the password prompt on a terminal.
@Suite(
  "The password at the terminal",
  .serialized,
  .enabled(
    if: Coturn.isInstalled && FileManager.default.isExecutableFile(atPath: "/usr/bin/script"),
    "coturn or script(1) is NOT INSTALLED: nothing here was tested"))
struct PromptTests {
  /// Runs the program on a pseudo-terminal and types the answer after the prompt.
  func run(_ arguments: String, typing answer: String) throws -> (status: Int32, output: String) {
    let (input, output) = (Pipe(), Pipe())
    let child = try Child(
      "/usr/bin/script", ["-qec", "\(Run.program.path) \(arguments)", "/dev/null"], environment: [:],
      input: .pipe(input),
      output: .pipe(output))
    var text = Data()
    while !String(decoding: text, as: UTF8.self).contains("Password of alice: ") {
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { break }
      text += more
    }
    try input.fileHandleForWriting.write(contentsOf: Data(answer.utf8))
    text += try output.fileHandleForReading.readToEnd() ?? Data()
    return (child.wait(), String(decoding: text, as: UTF8.self))
  }

  @Test("A missing password is asked for on the terminal, without echo")
  func terminal() throws {
    let coturn = try Coturn(port: 24240)
    let good = try run("--username alice turn:127.0.0.1:24240", typing: "secret\n")
    #expect(good.status == 0 && good.output.contains("Password of alice: \r\n"), "\(good)")
    #expect(!good.output.contains("secret"))
    // Backspace and Ctrl-U.
    let corrected = try run("--username alice turn:127.0.0.1:24240", typing: "wrong\u{15}secrex\u{7F}t\n")
    #expect(corrected.status == 0, "\(corrected)")
    let wrong = try run("--username alice turn:127.0.0.1:24240", typing: "guess\n")
    #expect(
      wrong.status == 2
        && wrong.output.contains("the server rejected the user name or password (401) [wrong-credentials]"), "\(wrong)")
    // Ctrl-C or an empty line gives no password.
    for answer in ["sec\u{3}", "\n"] {
      let none = try run("--username alice turn:127.0.0.1:24240", typing: answer)
      #expect(none.status == 3 && none.output.contains("but no password"), "\(none)")
    }
    withExtendedLifetime(coturn) {}
  }

  @Test("Without a terminal no password is asked for")
  func noTerminal() throws {
    let run = try Run(["--username", "alice", "turn:127.0.0.1:9"], input: "secret\n")
    #expect(run.status == 3 && run.output == "" && run.error.contains("but no password: set STUNCLIENT_PASSWORD"))
  }
}
