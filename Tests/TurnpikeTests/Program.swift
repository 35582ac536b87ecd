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
    let run = UUID().uuidString
    let file = try directory.write(input, to: "input-\(run)")
    let output = directory.path("output-\(run)")
    let errors = directory.path("errors-\(run)")
    let status = try await Child.run(
      Self.url, arguments, environment: ["TURNPIKE_STATE_DIRECTORY": directory.path("state")].merging(environment) { $1 },
      input: file, output: output, errors: errors)
    return Result(status: status, output: try Self.text(output), errors: try Self.text(errors))
  }

  /// Next to the test bundle.
  static var url: URL {
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("turnpike")
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
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
