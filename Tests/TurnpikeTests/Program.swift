internal import Foundation

/// The `turnpike` program that was built with these tests, run as users run it.
struct Program {
  /// A state directory of its own.
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  struct Result {
    var status: Int32
    var output: String
    var errors: String
  }

  func run(_ arguments: String..., input: String = "", environment: [String: String] = [:]) async throws -> Result {
    try await run(arguments, input: input, environment: environment)
  }

  /// Runs the program to its end.
  func run(_ arguments: [String], input: String = "", environment: [String: String] = [:]) async throws -> Result {
    let process = Process()
    process.executableURL = Self.url
    process.arguments = arguments
    process.environment = ["TURNPIKE_STATE_DIRECTORY": directory.path("state")].merging(environment) { $1 }
    let output = Pipe()
    let errors = Pipe()
    let file = directory.path("input")
    try Data(input.utf8).write(to: URL(fileURLWithPath: file))
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: file))
    process.standardOutput = output
    process.standardError = errors
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      process.terminationHandler = { _ in continuation.resume() }
      do {
        try process.run()
      } catch {
        continuation.resume(throwing: error)
      }
    }
    // What these commands print fits into a pipe, so nothing waited for a reader.
    return Result(
      status: process.terminationStatus, output: Self.text(output), errors: Self.text(errors))
  }

  /// Next to the test bundle.
  static var url: URL {
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("turnpike")
  }

  private static func text(_ pipe: Pipe) -> String {
    String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  }
}

/// A directory that ends with the test.
final class TemporaryDirectory: Sendable {
  private let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("turnpike-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  func write(_ text: String, to name: String) throws -> String {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)))
    return path(name)
  }
}
