internal import Foundation

/// Paths of programs and files that tests use.
public enum Paths {
  /// A program that was built with these tests: next to the test bundle.
  public static func program(_ name: String) -> String {
    URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: name).path
  }

  /// A file of the repository, such as `docs/stunclient.md`.
  public static func repository(_ path: String) -> String {
    // This file is Tests/TestSupport/Paths.swift.
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: path).path
  }

  /// The text of a file of the repository.
  public static func text(_ path: String) throws -> String {
    try String(contentsOfFile: repository(path), encoding: .utf8)
  }

  /// The bytes of a file of the repository.
  public static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: repository(path))))
  }
}

/// A temporary directory. It is deleted when this value is released.
public final class TemporaryDirectory: Sendable {
  private let url: URL

  public init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "turnpike-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  public var path: String { url.path }

  public func path(_ name: String) -> String { url.appending(path: name).path }

  /// Writes a file and returns its path.
  @discardableResult
  public func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

  @discardableResult
  public func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(filePath: path(name)))
    return path(name)
  }
}
