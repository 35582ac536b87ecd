internal import Foundation

/// The sanitizer of `Tests/Sanitizers/run` under which the tests run.
public enum Sanitizer {
  /// The sanitizer's options and its preloaded library, which the programs that tests start need too.
  public static let options = ProcessInfo.processInfo.environment.filter {
    ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains($0.key) || isOn && $0.key == "LD_PRELOAD"
  }

  /// Whether the sanitizer adds a thread to each program.
  public static let hasThread = ProcessInfo.processInfo.environment["TSAN_OPTIONS"] != nil

  /// Whether a sanitizer is on. It has a heap of its own, so the C library's counts are meaningless.
  public static let isOn = ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains {
    ProcessInfo.processInfo.environment[$0] != nil
  }
}
