internal import CSeccomp
public import System

/// The files that a process can still open (Landlock, Linux 5.13 and newer).
public struct FileFence: Sendable, Equatable {
  /// Files, and folders with their whole content, that can be read.
  public var readable: [String]
  /// Folders in which files can be read, written, made, renamed and removed.
  public var writable: [String]
  /// Folders in which Unix sockets can be made and removed.
  public var sockets: [String]

  public init(readable: [String] = [], writable: [String] = [], sockets: [String] = []) {
    self.readable = readable
    self.writable = writable
    self.sockets = sockets
  }

  private static let writeFile: UInt64 = 1 << 1
  private static let readFile: UInt64 = 1 << 2
  private static let readFolder: UInt64 = 1 << 3
  private static let removeFile: UInt64 = 1 << 5
  private static let makeFile: UInt64 = 1 << 8
  private static let makeSocket: UInt64 = 1 << 9
  private static let truncate: UInt64 = 1 << 14
  /// The 13 rights of Landlock's first version.
  private static let firstRights: UInt64 = (1 << 13) - 1
  private static let refer: UInt64 = 1 << 13

  /// The version of the kernel's Landlock; 0 if it has none or it is switched off.
  public static var version: Int { max(0, Int(cseccomp_landlock_version())) }

  /// Restricts the calling thread and the threads that it starts. Open files stay open.
  ///
  /// The thread must have set no-new-privileges before. Paths that do not exist are left out.
  public func restrict() throws(Errno) {
    let version = Self.version
    // An older kernel refuses the rights of later versions.
    let handled = Self.firstRights | (version >= 2 ? Self.refer : 0) | (version >= 3 ? Self.truncate : 0)
    let ruleset = cseccomp_landlock_create(handled)
    guard ruleset >= 0 else { throw Errno(rawValue: cseccomp_errno()) }
    defer { _ = close(ruleset) }
    for path in readable { Self.allow(path, Self.readFile | Self.readFolder, in: ruleset) }
    let write = Self.readFile | Self.readFolder | Self.writeFile | Self.removeFile | Self.makeFile | Self.truncate
    for path in writable { Self.allow(path, write & handled, in: ruleset) }
    for path in sockets { Self.allow(path, Self.makeSocket | Self.removeFile, in: ruleset) }
    guard cseccomp_landlock_restrict(ruleset) == 0 else { throw Errno(rawValue: cseccomp_errno()) }
  }

  private static func allow(_ path: String, _ rights: UInt64, in ruleset: Int32) {
    let file = unsafe cseccomp_open_path(path)
    guard file >= 0 else { return }
    defer { _ = close(file) }
    // The kernel refuses folder rights for a file.
    if cseccomp_landlock_allow(ruleset, file, rights) != 0 {
      _ = cseccomp_landlock_allow(ruleset, file, rights & (readFile | writeFile))
    }
  }
}
