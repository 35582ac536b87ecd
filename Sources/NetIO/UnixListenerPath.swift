internal import CLinux
public import System

/// The path of a Unix socket, before and after a library listens on it.
public enum UnixListenerPath {
  /// Limit of a path in bytes (`sun_path`, without its final zero).
  public static let longest = 107

  /// Removes the socket of a process that has ended.
  ///
  /// - Throws: `addressInUse` if another process listens, and `fileExists` if the path is no socket.
  public static func prepare(_ path: String) throws(Errno) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & UInt32(S_IFMT) == UInt32(S_IFSOCK) else { throw .fileExists }
    if isServed(path) { throw .addressInUse }
    try retrying { unsafe unlink(path) }
  }

  /// Lets the owner and the group connect, and no other users.
  public static func restrict(_ path: String) throws(Errno) { try retrying { unsafe chmod(path, 0o660) } }

  /// Whether a process listens on the path.
  private static func isServed(_ path: String) -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count <= longest else { return false }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in unsafe field.copyBytes(from: bytes) }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let raw = socket(AF_UNIX, kind, 0)
    guard raw >= 0 else { return false }
    let owned = FileDescriptor(owning: raw)
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + 1)
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        // A full queue of a living listener is EAGAIN.
        unsafe clinux_connect(owned.rawValue, name, length) == 0 || Errno.current == .wouldBlock
      }
    }
  }
}
