internal import CLinux

/// The C heap, which Swift's is too.
public enum Heap {
  /// Gives freed memory of all threads back to the kernel. Takes milliseconds with much of it: not for every day.
  public static func trim() { _ = malloc_trim(0) }
}
