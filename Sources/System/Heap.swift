internal import CLinux

/// The C heap, which Swift uses too.
public enum Heap {
  /// Returns the freed memory of all threads to the kernel. This can take milliseconds, so a shard's thread must not
  /// call it.
  public static func trim() { _ = malloc_trim(0) }
}
