internal import CLinux

/// A file descriptor with one owner, which deinit closes.
public struct FileDescriptor: ~Copyable, Sendable {
  public let rawValue: Int32

  /// Takes over an open descriptor.
  public init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit {
    // Linux closes the descriptor even if close(2) returns an error such as EINTR.
    if close(rawValue) != 0 { stopAfterOwnMistake("close", .current) }
  }

  /// Releases the descriptor without closing it.
  public consuming func release() -> Int32 {
    let value = rawValue
    discard self
    return value
  }
}
