internal import CLinux

/// A file descriptor with one owner, closed when that goes away.
public struct FileDescriptor: ~Copyable, Sendable {
  public let rawValue: Int32

  /// Takes over an open descriptor.
  public init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit { _ = close(rawValue) }

  /// Gives the descriptor up without closing it.
  public consuming func release() -> Int32 {
    let value = rawValue
    discard self
    return value
  }
}
