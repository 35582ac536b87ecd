internal import CLinux

/// Watches a folder for changes with inotify. It belongs to one thread, which waits for `rawValue` to become readable.
public struct FolderWatch: ~Copyable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  /// - Throws: if the kernel has no watch left or the folder cannot be read. Writes by other hosts on a network file
  ///   system are not reported.
  public init(of path: String) throws(Errno) {
    let descriptor = FileDescriptor(
      owning: try retrying { inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK)) })
    let raw = descriptor.rawValue
    let mask =
      UInt32(IN_MODIFY) | UInt32(IN_CREATE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_DELETE)
      | UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF) | UInt32(IN_ONLYDIR)
    try retrying { unsafe inotify_add_watch(raw, path, mask) }
    self.descriptor = descriptor
  }

  /// Reads and discards the pending events.
  ///
  /// - Returns: false if the folder was moved, deleted or unmounted, so that this watch reports nothing more about its
  ///   path.
  public func drain() -> Bool {
    var isThere = true
    unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
      while true {
        let count = unsafe read(descriptor.rawValue, buffer.baseAddress, buffer.count)
        guard count > 0 else { return }
        // inotify_event: watch, mask, cookie and the length of the name that follows, each of 4 bytes.
        var offset = 0
        while offset + 16 <= count {
          let mask = unsafe buffer.load(fromByteOffset: offset + 4, as: UInt32.self)
          let length = unsafe buffer.load(fromByteOffset: offset + 12, as: UInt32.self)
          if mask & (UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF) | UInt32(IN_IGNORED) | UInt32(IN_UNMOUNT)) != 0 {
            isThere = false
          }
          offset += 16 + Int(length)
        }
      }
    }
    return isThere
  }
}
