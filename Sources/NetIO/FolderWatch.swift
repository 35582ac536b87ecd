internal import CLinux

/// Tells that something in a folder has been written, without anybody asking again and again (inotify). Belongs to one
/// thread, which waits for `rawValue` to become readable.
public struct FolderWatch: ~Copyable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  /// - Throws: where the kernel has no watch left, or the folder cannot be read. Writes by other hosts on a network
  ///   file system are never told.
  public init(of path: String) throws(Errno) {
    let descriptor = FileDescriptor(
      owning: try retrying32 { inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK)) })
    let raw = descriptor.rawValue
    let mask = UInt32(IN_MODIFY) | UInt32(IN_CREATE) | UInt32(IN_MOVED_TO) | UInt32(IN_DELETE)
    try retrying32 { unsafe inotify_add_watch(raw, path, mask) }
    self.descriptor = descriptor
  }

  /// Forgets what has been told so far.
  public func drain() {
    unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
      while unsafe read(descriptor.rawValue, buffer.baseAddress, buffer.count) > 0 {}
    }
  }
}
