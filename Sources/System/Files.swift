internal import CLinux
public import NetworkTypes

/// The reason why a file could not be read or written.
public enum FileError: Error, Equatable, Sendable {
  case system(Errno)
  /// The file has more bytes than the caller accepts.
  case tooLarge(limit: ByteCount)
  /// The path is a device, pipe, socket or directory, and not a regular file.
  case notRegular
}

extension FileError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .system(let error): error.description
    case .tooLarge(let limit): "it has more than \(limit.rawValue) bytes"
    case .notRegular: "it is a directory, pipe, socket or device, not a regular file"
    }
  }
}

/// Reads and writes whole files: configuration, certificates, secrets and state. The path of a packet never uses it.
public enum Files {
  /// The content of a file (or pipe) of at most `limit`. A pipe blocks until its writer closes it, so the server
  /// uses this only before it serves, and `readRegular` later.
  public static func read(_ path: String, limit: ByteCount = .mebibytes(4)) throws(FileError) -> [UInt8] {
    let descriptor = try open(path, O_RDONLY)
    return try read(descriptor, limit: limit)
  }

  /// Reads a password or secret of at most 64 KiB from a file, or from standard input for `-`, without one final
  /// newline.
  public static func readSecret(_ path: String) throws(FileError) -> [UInt8] {
    var content =
      path == "-" ? try StandardStreams.readInput(limit: .kibibytes(64)) : try read(path, limit: .kibibytes(64))
    if content.last == UInt8(ascii: "\n") { content.removeLast() }
    if content.last == UInt8(ascii: "\r") { content.removeLast() }
    return content
  }

  static func read(_ descriptor: borrowing FileDescriptor, limit: ByteCount) throws(FileError) -> [UInt8] {
    let raw = descriptor.rawValue
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = try system { () throws(Errno) in
        try retrying { unsafe chunk.withUnsafeMutableBytes { unsafe CLinux.read(raw, $0.baseAddress, $0.count) } }
      }
      if count == 0 { return content }
      guard content.count + count <= Int(limit) else { throw .tooLarge(limit: limit) }
      content += chunk[..<count]
    }
  }

  /// Replaces a file atomically: a temporary file in the same folder is written, synced and renamed, and is on the disk
  /// when this returns. The new file has exactly `mode`. A symbolic link is replaced unless `followsLinks`. Anything
  /// but a regular file is refused.
  ///
  /// - Parameter isState: a file that root writes gets the owner of its folder, so that the service can read it.
  public static func writeAtomically(
    _ bytes: [UInt8], to name: String, mode: UInt32 = 0o600, followsLinks: Bool = false, isState: Bool = false
  ) throws(FileError) {
    let path = try replaceable(name, followsLinks)
    let temporary = "\(path).new-\(getpid())"
    _ = unsafe unlink(temporary)
    do throws(FileError) {
      let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
      let raw = descriptor.rawValue
      try system { () throws(Errno) in
        // The umask may have removed permission bits.
        try retrying { fchmod(raw, mode) }
        if isState { try giveToFolderOwner(raw, path) }
        try write(bytes, to: raw)
        try retrying { fsync(raw) }
      }
      try system { () throws(Errno) in try retrying { unsafe rename(temporary, path) } }
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
    syncDirectory(of: path)
  }

  /// The path to replace: the link's target if links are followed.
  private static func replaceable(_ name: String, _ followsLinks: Bool) throws(FileError) -> String {
    var status = stat()
    // If the file or the link's target is missing, the write reports any error.
    guard unsafe (followsLinks ? stat(name, &status) : lstat(name, &status)) == 0 else { return name }
    let kind = status.st_mode & UInt32(S_IFMT)
    guard kind == UInt32(S_IFREG) || (kind == UInt32(S_IFLNK) && !followsLinks) else { throw .notRegular }
    guard followsLinks else { return name }
    guard let resolved = unsafe realpath(name, nil) else { throw .system(.current) }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// The names in a directory, without `.` and `..`, in any order; empty if it cannot be read.
  public static func names(in path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { _ = unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        // Safe: the kernel ends every name with a NUL within the field.
        unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The folder of a path's last component.
  public static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The path with all symbolic links resolved; unchanged if it does not exist.
  public static func resolved(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// Removes a file, and ignores errors.
  public static func remove(_ path: String) { _ = unsafe unlink(path) }

  /// Whether the path exists.
  public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// Creates a directory that only this user can access. An existing one is not changed.
  ///
  /// - Parameter withParents: whether missing parents are created too.
  /// - Returns: whether the directory was created now.
  @discardableResult
  public static func makeDirectory(_ path: String, withParents: Bool = true) throws(FileError) -> Bool {
    if unsafe mkdir(path, 0o700) == 0 {
      try giveDirectoryToFolderOwner(path)
      return true
    }
    let error = Errno.current
    if error == .fileExists { return false }
    guard withParents, error == .noSuchFile, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
      throw .system(error)
    }
    try makeDirectory(String(path[..<slash]))
    return try makeDirectory(path, withParents: false)
  }

  static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0) throws(FileError) -> FileDescriptor {
    let raw = try system { () throws(Errno) in
      try retrying { unsafe clinux_open(path, flags | O_CLOEXEC, mode) }
    }
    return FileDescriptor(owning: raw)
  }

  /// Writes all bytes. It also waits for room on a non-blocking descriptor, because another process that shares
  /// standard output or error may have set O_NONBLOCK.
  static func write(_ bytes: [UInt8], to raw: Int32) throws(Errno) {
    var rest = bytes[...]
    while !rest.isEmpty {
      do throws(Errno) {
        let count = try retrying { unsafe rest.withUnsafeBytes { unsafe CLinux.write(raw, $0.baseAddress, $0.count) } }
        rest = rest.dropFirst(count)
      } catch {
        guard error == .wouldBlock else { throw error }
        var interest = pollfd(fd: raw, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&interest, 1, -1)
      }
    }
  }

  /// Syncs the directory, so that a rename survives a loss of power if the file system supports it.
  private static func syncDirectory(of path: String) {
    let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard let descriptor = try? open(directory, O_RDONLY | O_DIRECTORY) else { return }
    _ = fsync(descriptor.rawValue)
  }

  @discardableResult
  static func system<Result>(_ call: () throws(Errno) -> Result) throws(FileError) -> Result {
    do throws(Errno) {
      return try call()
    } catch {
      throw .system(error)
    }
  }
}
