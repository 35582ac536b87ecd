internal import Foundation

/// Files of the repository that are made from the programs' tables and committed.
public enum GeneratedFile {
  /// The differences between the committed files and `files`. With TURNPIKE_WRITE_GENERATED=1, which deploy/generate
  /// sets, the files are written instead.
  public static func differences(_ files: [(path: String, text: String)]) throws -> [String] {
    if ProcessInfo.processInfo.environment["TURNPIKE_WRITE_GENERATED"] == "1" {
      for file in files { try Data(file.text.utf8).write(to: URL(filePath: Paths.repository(file.path))) }
      return []
    }
    return try files.filter { try Paths.text($0.path) != $0.text }.map { "\($0.path) is old: run deploy/generate" }
  }
}
