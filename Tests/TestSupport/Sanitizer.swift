internal import Foundation

/// The sanitizer of `Tests/Sanitizers/run` under which the tests run.
public enum Sanitizer {
  /// Its options, which the programs that tests start need too, with the library that it needs.
  public static let options = ProcessInfo.processInfo.environment.filter {
    ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains($0.key) || isOn && $0.key == "LD_PRELOAD"
  }

  /// Whether a program has a thread of the sanitizer, besides its own ones.
  public static let hasThread = ProcessInfo.processInfo.environment["TSAN_OPTIONS"] != nil

  /// Whether there is one: it has a heap of its own, so what the C library counts means nothing.
  public static let isOn = ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains {
    ProcessInfo.processInfo.environment[$0] != nil
  }
}
