internal import Foundation
internal import TestSupport

/// Runs the `turnpike` program of this build as users run it.
struct Program {
  /// The program's state directory.
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  func run(
    _ arguments: String..., input: String = "", environment: [String: String] = [:]
  ) async throws -> Child.Result {
    try await run(arguments, input: input, environment: environment)
  }

  /// Runs the program to its end.
  func run(
    _ arguments: [String], input: String = "", environment: [String: String] = [:]
  ) async throws -> Child.Result {
    try await Child.runAside(
      Self.path, arguments, environment: self.environment.merging(environment) { $1 }, input: input)
  }

  static let path = Paths.program("turnpike")

  var environment: [String: String] { ["TURNPIKE_STATE_DIRECTORY": directory.path("state")] }
}
