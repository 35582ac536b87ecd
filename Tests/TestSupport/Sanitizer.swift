internal import Foundation

/// The sanitizer of `Tests/sanitize` under which the tests run.
public enum Sanitizer {
  /// Its options, which the programs that tests start need too.
  public static let options = ProcessInfo.processInfo.environment.filter {
    ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains($0.key)
  }

  /// Whether there is one: it has a heap of its own, so what the C library counts means nothing.
  public static var isOn: Bool { !options.isEmpty }
}
