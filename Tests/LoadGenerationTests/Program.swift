import Foundation

/// The program beside the test bundle: its exit status and what it printed.
func turnload(_ arguments: [String], environment: [String: String] = [:]) throws -> (Int32, String, String) {
  let process = Process()
  let (output, errors) = (Pipe(), Pipe())
  process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "turnload")
  process.arguments = arguments
  process.environment = environment
  process.standardOutput = output
  process.standardError = errors
  try process.run()
  let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
  let error = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
  process.waitUntilExit()
  return (process.terminationStatus, text, error)
}
