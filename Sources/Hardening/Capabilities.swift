internal import CSeccomp
internal import NetworkTypes
public import System

/// Capabilities of Linux (capabilities(7)).
public struct Capabilities: OptionSet, Hashable, Sendable {
  public let rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Changes the owner of files.
  public static let changeOwner = Capabilities(rawValue: 1 << 0)
  /// Reads and writes files regardless of their mode.
  public static let overrideFileModes = Capabilities(rawValue: 1 << 1)
  /// Reads files regardless of their mode.
  public static let readAnyFile = Capabilities(rawValue: 1 << 2)

  /// The permitted capabilities of the calling thread.
  public static var ofThread: Capabilities {
    var data = (__user_cap_data_struct(), __user_cap_data_struct())
    let status = unsafe withUnsafeMutablePointer(to: &data) { pair in
      unsafe pair.withMemoryRebound(to: __user_cap_data_struct.self, capacity: 2) { unsafe cseccomp_capabilities($0) }
    }
    guard status == 0 else { return [] }
    return Capabilities(rawValue: UInt64(data.0.permitted) | UInt64(data.1.permitted) << 32)
  }

  /// Keeps only these capabilities: permanently drops all others of the calling thread and of the threads that it
  /// starts.
  public static func keep(_ kept: Capabilities) throws(Errno) {
    let remaining = kept.intersection(ofThread)
    // Without CAP_SETPCAP the bounding set cannot be changed. It matters only for exec.
    for number in 0..<UInt64(64) where !remaining.contains(Capabilities(rawValue: 1 << number)) {
      _ = cseccomp_prctl(PR_CAPBSET_DROP, UInt(number), 0)
    }
    _ = cseccomp_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0)
    try setThread(remaining, permitted: remaining)
  }

  /// The capabilities that later accesses to files need: none, unless root uses files of another user.
  ///
  /// - Parameters:
  ///   - reading: files that are read again.
  ///   - writing: folders, and files in them, that are written.
  public static func needed(reading: [String], writing: [String]) -> Capabilities {
    let all = ofThread
    guard !all.isEmpty, (try? setThread([], permitted: all)) != nil else { return [] }
    defer { try? setThread(all, permitted: all) }
    var needed: Capabilities = []
    if reading.contains(where: { Self.isRefused($0, R_OK) }) { needed.insert(.readAnyFile) }
    if writing.contains(where: { Self.isRefused($0, R_OK | W_OK) }) {
      needed.formUnion([.overrideFileModes, .changeOwner])
    }
    return needed
  }

  /// Names of this process's threads that have, or can get, other capabilities than these.
  public static func threads(with kept: Capabilities) -> [String] {
    Files.names(in: "/proc/self/task").compactMap { task in
      guard let status = try? Files.read("/proc/self/task/\(task)/status", limit: .kibibytes(64)) else { return nil }
      var name = task
      for line in String(decoding: status, as: UTF8.self).split(separator: "\n") {
        if line.hasPrefix("Name:\t") { name = String(line.dropFirst(6)) }
        if line.hasPrefix("CapPrm:\t"), let mask = UInt64(line.dropFirst(8), radix: 16) {
          return Capabilities(rawValue: mask).isSubset(of: kept) ? nil : name
        }
      }
      return nil
    }
  }

  private static func isRefused(_ path: String, _ mode: Int32) -> Bool {
    guard unsafe faccessat(AT_FDCWD, path, mode, AT_EACCESS) != 0 else { return false }
    return cseccomp_errno() == EACCES
  }

  private static func setThread(_ effective: Capabilities, permitted: Capabilities) throws(Errno) {
    func word(_ set: Capabilities, _ shift: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: set.rawValue >> shift) }
    var data = (
      __user_cap_data_struct(effective: word(effective, 0), permitted: word(permitted, 0), inheritable: 0),
      __user_cap_data_struct(effective: word(effective, 32), permitted: word(permitted, 32), inheritable: 0)
    )
    let status = unsafe withUnsafeMutablePointer(to: &data) { pair in
      unsafe pair.withMemoryRebound(to: __user_cap_data_struct.self, capacity: 2) {
        unsafe cseccomp_set_capabilities($0)
      }
    }
    guard status == 0 else { throw Errno(rawValue: cseccomp_errno()) }
  }
}

extension Capabilities: CustomStringConvertible {
  /// The names of those capabilities that this program can keep, in lower case without `CAP_`; "none" if the set is
  /// empty.
  public var description: String {
    let names = [
      (Self.changeOwner, "chown"), (Self.overrideFileModes, "dac_override"), (Self.readAnyFile, "dac_read_search"),
    ]
    return isEmpty ? "none" : names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
  }
}
