internal import CLinux

/// A file that could not be read or written; its text is the system's reason.
public enum FileError: Error, Equatable, Sendable {
  case system(Errno)
  /// More bytes than the caller takes.
  case tooLarge(limit: Int)
  /// A device, pipe, socket or directory, where only a file can be replaced.
  case notRegular
}

extension FileError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .system(let error): error.description
    case .tooLarge(let limit): "it has more than \(limit) bytes"
    case .notRegular: "it is no regular file, and is not replaced by one"
    }
  }
}

/// Whole files, read and written at once: configuration, certificates, secrets and state, never on a packet's path.
public enum Files {
  /// The content of a file (or pipe) of at most `limit` bytes.
  public static func read(_ path: String, limit: Int = 1 << 22) throws(FileError) -> [UInt8] {
    let descriptor = try open(path, O_RDONLY)
    return try read(descriptor, limit: limit)
  }

  /// A password or secret: a file's content, or standard input's for `-`, without one final newline. At most 64 KiB.
  public static func readSecret(_ path: String) throws(FileError) -> [UInt8] {
    var content = path == "-" ? try StandardStreams.readInput(limit: 65_536) : try read(path, limit: 65_536)
    if content.last == UInt8(ascii: "\n") { content.removeLast() }
    if content.last == UInt8(ascii: "\r") { content.removeLast() }
    return content
  }

  static func read(_ descriptor: borrowing FileDescriptor, limit: Int) throws(FileError) -> [UInt8] {
    let raw = descriptor.rawValue
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = try system { () throws(Errno) in
        try retrying { unsafe chunk.withUnsafeMutableBytes { unsafe CLinux.read(raw, $0.baseAddress, $0.count) } }
      }
      if count == 0 { return content }
      guard content.count + count <= limit else { throw .tooLarge(limit: limit) }
      content += chunk[..<count]
    }
  }

  /// Writes a file so that at every moment either the old or the whole new one is there, on the disk when this
  /// returns. The new one has exactly `mode`; a temporary one stands beside it meanwhile. A symbolic link is
  /// replaced, not followed, unless `followsLinks`; what is no regular file is refused.
  public static func writeAtomically(
    _ bytes: [UInt8], to name: String, mode: UInt32 = 0o600, followsLinks: Bool = false
  ) throws(FileError) {
    let path = try replaceable(name, followsLinks)
    let temporary = "\(path).new-\(getpid())"
    _ = unsafe unlink(temporary)
    do throws(FileError) {
      let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
      let raw = descriptor.rawValue
      try system { () throws(Errno) in
        // The umask may have taken bits away.
        try retrying32 { fchmod(raw, mode) }
        try write(bytes, to: raw)
        try retrying32 { fsync(raw) }
      }
      try system { () throws(Errno) in try retrying32 { unsafe rename(temporary, path) } }
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
    syncDirectory(of: path)
  }

  /// Where a file of this name really is, or will be.
  private static func replaceable(_ name: String, _ followsLinks: Bool) throws(FileError) -> String {
    var status = stat()
    // Nothing there, or a link that leads nowhere: what happens then, happens when it is written.
    guard unsafe (followsLinks ? stat(name, &status) : lstat(name, &status)) == 0 else { return name }
    let kind = status.st_mode & UInt32(S_IFMT)
    guard kind == UInt32(S_IFREG) || (kind == UInt32(S_IFLNK) && !followsLinks) else { throw .notRegular }
    guard followsLinks else { return name }
    guard let resolved = unsafe realpath(name, nil) else { throw .system(.current) }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// The names in a directory, without `.` and `..`, in no order; empty where it can't be read.
  public static func names(in path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { _ = unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        // Sound: the kernel ends every name with a NUL within the field.
        unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Whether something is there under this name.
  /// The folder that a path's file is in.
  public static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// Makes a directory for this user only, and the ones above it; one that is there already is left as it is.
  public static func makeDirectory(_ path: String) throws(FileError) {
    if unsafe mkdir(path, 0o700) == 0 { return }
    let error = Errno.current
    if error.rawValue == EEXIST { return }
    guard error == .noSuchFile, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
      throw .system(error)
    }
    try makeDirectory(String(path[..<slash]))
    if unsafe mkdir(path, 0o700) == 0 { return }
    let second = Errno.current
    if second.rawValue != EEXIST { throw .system(second) }
  }

  /// Whether files can be made in this directory.
  public static func isWritableDirectory(_ path: String) -> Bool {
    // With the dot, what is no directory has no such entry.
    unsafe access(path + "/.", W_OK | X_OK) == 0
  }

  private static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0) throws(FileError) -> FileDescriptor {
    let raw = try system { () throws(Errno) in
      try retrying32 { unsafe clinux_open(path, flags | O_CLOEXEC, mode) }
    }
    return FileDescriptor(owning: raw)
  }

  static func write(_ bytes: [UInt8], to raw: Int32) throws(Errno) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try retrying { unsafe rest.withUnsafeBytes { unsafe CLinux.write(raw, $0.baseAddress, $0.count) } }
      rest = rest.dropFirst(count)
    }
  }

  /// Makes a rename last through a loss of power, where the file system can.
  private static func syncDirectory(of path: String) {
    let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard let descriptor = try? open(directory, O_RDONLY | O_DIRECTORY) else { return }
    _ = fsync(descriptor.rawValue)
  }

  @discardableResult
  private static func system<Result>(_ call: () throws(Errno) -> Result) throws(FileError) -> Result {
    do throws(Errno) {
      return try call()
    } catch {
      throw .system(error)
    }
  }
}

/// Where the server keeps what must outlive it: its store, certificate and first user.
public enum StateDirectory {
  /// The default for a service.
  public static let standard = "/var/lib/turnpike"

  /// The directory to use, made if need be; nil where none can be written.
  ///
  /// - Parameters:
  ///   - configured: `state-directory`; empty: the standard one if it can be written, else the user's own as the XDG
  ///     base directories have it.
  ///   - environment: of the process.
  public static func resolve(configured: String, environment: [String: String]) -> String? {
    if !configured.isEmpty { return usable(configured) }
    if let directory = usable(standard) { return directory }
    // Relative paths are to be ignored, says the XDG specification.
    if let base = environment["XDG_STATE_HOME"], base.hasPrefix("/") { return usable(base + "/turnpike") }
    if let home = environment["HOME"], home.hasPrefix("/") { return usable(home + "/.local/state/turnpike") }
    return nil
  }

  private static func usable(_ path: String) -> String? {
    try? Files.makeDirectory(path)
    return Files.isWritableDirectory(path) ? path : nil
  }
}
