internal import CLinux
public import NetworkTypes

/// Access to regular files, and error texts with path, owner and mode.
extension Files {
  /// The content of a regular file of at most `limit`. The read never waits for a pipe's writer: a pipe, device, socket or
  /// directory throws `notRegular`. A network drive that does not answer can still block.
  ///
  /// - Parameter followsLinks: false refuses a symbolic link.
  public static func readRegular(
    _ path: String, limit: ByteCount, followsLinks: Bool = true
  ) throws(FileError) -> [UInt8] {
    // With these flags a FIFO without a writer does not block, and a terminal does not become the controlling terminal.
    let descriptor = try open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | (followsLinks ? 0 : O_NOFOLLOW))
    var status = stat()
    let raw = descriptor.rawValue
    try system { () throws(Errno) in try retrying { unsafe fstat(raw, &status) } }
    guard status.st_mode & UInt32(S_IFMT) == UInt32(S_IFREG) else { throw .notRegular }
    return try read(descriptor, limit: limit)
  }

  /// The content of a regular file of at most 4 MiB.
  public static func readRegular(_ path: String) throws(FileError) -> [UInt8] {
    try readRegular(path, limit: .mebibytes(4))
  }

  /// Creates an empty file with mode 0600 and its folder's owner. An existing file is not changed.
  public static func createState(_ path: String) throws(FileError) {
    do throws(FileError) {
      let descriptor = try open(path, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
      let raw = descriptor.rawValue
      try system { () throws(Errno) in try giveToFolderOwner(raw, path) }
    } catch {
      if error != .system(.fileExists) { throw error }
    }
  }

  /// The kernel's identity of a file, independent of its name.
  public struct Identity: Equatable, Sendable {
    var device: UInt64
    var inode: UInt64
  }

  /// The identity of a file or directory; nil if it does not exist.
  public static func identity(_ path: String) -> Identity? {
    status(path).map { Identity(device: UInt64($0.st_dev), inode: UInt64($0.st_ino)) }
  }

  /// The permission bits of a file or directory; nil if it does not exist.
  public static func mode(of path: String) -> UInt32? { status(path).map { $0.st_mode & 0o7777 } }

  /// Whether the path is a regular file.
  public static func isRegular(_ path: String) -> Bool {
    status(path).map { $0.st_mode & UInt32(S_IFMT) == UInt32(S_IFREG) } ?? false
  }

  /// The reason why files cannot be created in this directory; nil if they can.
  static func obstacle(inDirectory path: String) -> Errno? {
    // The dot makes this fail for a path that is not a directory.
    unsafe access(path + "/.", W_OK | X_OK) == 0 ? nil : .current
  }

  /// The reason why this file cannot be created; nil if it can.
  public static func obstacle(toMaking path: String) -> FileError? {
    obstacle(inDirectory: folder(of: path)).map { .system($0) }
  }

  /// Whether this process may read and write an existing file.
  public static func isWritable(_ path: String) -> Bool { unsafe access(path, R_OK | W_OK) == 0 }

  private static func status(_ path: String) -> stat? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status : nil
  }

  // MARK: - Owners

  /// Changes the owner of a file that root has created to its folder's owner, so that a service that runs as another
  /// user can use it.
  static func giveToFolderOwner(_ descriptor: Int32, _ path: String) throws(Errno) {
    guard geteuid() == 0, let folder = status(folder(of: path)), folder.st_uid != 0 else { return }
    try retrying { fchown(descriptor, folder.st_uid, folder.st_gid) }
  }

  static func giveDirectoryToFolderOwner(_ path: String) throws(FileError) {
    guard geteuid() == 0 else { return }
    let descriptor = try open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    let raw = descriptor.rawValue
    let name = path.hasSuffix("/") ? String(path.dropLast()) : path
    try system { () throws(Errno) in try giveToFolderOwner(raw, name) }
  }

  // MARK: - Errors

  /// The error text with the path. If permission is missing, also the file's or folder's owner and mode, and this
  /// process's user: `/x/turnpike.db: Permission denied (owner root, mode 0600, running as uid 3478)`.
  public static func explain(_ error: FileError, of path: String) -> String { "\(path): \(reason(error, of: path))" }

  /// The error text without the path.
  public static func reason(_ error: FileError, of path: String) -> String {
    switch error {
    case .system(.permissionDenied), .system(.notPermitted): "\(error) (\(rights(of: path)))"
    case .system(.noSuchFile):
      // Often the folder is missing, because the path is misspelt.
      folder(of: path) == "." || exists(folder(of: path))
        ? "\(error)" : "\(error) (there is no folder \(folder(of: path)))"
    case .system, .tooLarge, .notRegular: "\(error)"
    }
  }

  /// The owner and mode of a file, and this process's user. If the file does not exist or cannot be examined, those of
  /// its nearest existing folder.
  public static func rights(of path: String) -> String {
    var name = path
    while status(name) == nil, name != "/", name != "." { name = folder(of: name) }
    let prefix = name == path ? "" : "folder \(name): "
    guard let status = status(name) else { return "running as \(user(geteuid()))" }
    let digits = String(status.st_mode & 0o7777, radix: 8)
    let mode = String(repeating: "0", count: max(4 - digits.count, 0)) + digits
    return "\(prefix)owner \(user(status.st_uid)), mode \(mode), running as \(user(geteuid()))"
  }

  /// The user's number: a look-up of its name could wait for the network.
  private static func user(_ number: UInt32) -> String { number == 0 ? "root" : "uid \(number)" }
}
