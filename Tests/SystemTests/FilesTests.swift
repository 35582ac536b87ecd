internal import Foundation
internal import NetworkTypes
internal import System
internal import Testing
internal import TestSupport

@Suite("Whole files")
struct FilesTests {
  private let folder: TemporaryDirectory
  private let directory: String

  init() throws {
    folder = try TemporaryDirectory()
    directory = folder.path
    try Files.makeDirectory(directory + "/a/b")
  }

  @Test("A written file reads back unchanged, is readable by its owner only, and is replaced atomically")
  func roundTrip() throws {
    let path = directory + "/a/file"
    let long = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    for content in [[], [0, 1, 255], long] as [[UInt8]] {
      try Files.writeAtomically(content, to: path)
      #expect(try Files.read(path) == content)
      #expect(try mode(path) == 0o600)
    }
    try Files.writeAtomically([1], to: path, mode: 0o644)
    #expect(try mode(path) == 0o644)
    // No temporary file is left.
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory + "/a").sorted() == ["b", "file"])
  }

  @Test("An existing symbolic link is replaced, not followed")
  func symbolicLink() throws {
    let victim = directory + "/victim"
    try Files.writeAtomically([1], to: victim)
    try FileManager.default.createSymbolicLink(atPath: directory + "/link", withDestinationPath: victim)
    try Files.writeAtomically([2], to: directory + "/link")
    #expect(try Files.read(victim) == [1])
    #expect(try Files.read(directory + "/link") == [2])
  }

  @Test("Reading an unreadable or too large file gives the reason")
  func errors() throws {
    #expect(throws: FileError.system(.noSuchFile)) { try Files.read(directory + "/missing") }
    #expect(throws: FileError.self) { try Files.read(directory) }
    #expect(throws: FileError.self) { try Files.writeAtomically([], to: directory + "/missing/file") }
    try Files.writeAtomically([1, 2, 3], to: directory + "/three")
    #expect(try Files.read(directory + "/three", limit: .bytes(3)).count == 3)
    #expect(throws: FileError.tooLarge(limit: .bytes(2))) { try Files.read(directory + "/three", limit: .bytes(2)) }
    #expect(throws: FileError.self) { try Files.makeDirectory(directory + "/three/below") }
    #expect("\(FileError.system(.noSuchFile))" == "No such file or directory")
  }

  @Test("On request a symbolic link stays and its target is replaced; a device or directory is refused")
  func replacing() throws {
    try Files.writeAtomically([1], to: directory + "/file")
    #expect(unsafe symlink("file", directory + "/link") == 0)
    try Files.writeAtomically([2], to: directory + "/link", followsLinks: true)
    #expect(try Files.read(directory + "/file") == [2])
    var status = stat()
    #expect(unsafe lstat(directory + "/link", &status) == 0 && status.st_mode & UInt32(S_IFMT) == UInt32(S_IFLNK))
    #expect(unsafe mkfifo(directory + "/pipe", 0o600) == 0)
    for name in [directory + "/pipe", directory] {
      for followsLinks in [true, false] {
        #expect(throws: FileError.notRegular) {
          try Files.writeAtomically([3], to: name, followsLinks: followsLinks)
        }
      }
    }
  }

  @Test("A configured state directory is created for its owner only, in an existing folder, or the reason is given")
  func stateDirectory() throws {
    let path = directory + "/a/state"
    // Without `makes` nothing is created.
    #expect(
      StateDirectory.resolve(configured: path, environment: [:], makes: false)
        == StateDirectory(path: path, isNew: true))
    #expect(!Files.exists(path))
    #expect(StateDirectory.resolve(configured: path, environment: [:]) == StateDirectory(path: path, isNew: true))
    #expect(try mode(path) == 0o700)
    #expect(StateDirectory.resolve(configured: path, environment: [:]) == StateDirectory(path: path))
    try Files.writeAtomically([], to: directory + "/file")
    let impossible = [
      (directory + "/file", "Not a directory"), (directory + "/file/below", "Not a directory"),
      (directory + "/mistyped/state", "there is no folder \(directory)/mistyped"),
    ]
    for (path, reason) in impossible {
      for makes in [false, true] {
        let found = StateDirectory.resolve(configured: path, environment: ["HOME": directory], makes: makes)
        #expect(found.path == nil && found.refusals.count == 1)
        #expect(found.refusals.first?.contains(reason) == true, "\(found)")
      }
    }
    #expect(!Files.exists(directory + "/mistyped"))
    #expect(StateDirectory.resolve(configured: "/proc/turnpike", environment: [:]).path == nil)
  }

  @Test("A file that is not regular is refused at once, without waiting for a writer")
  func regularOnly() throws {
    #expect(unsafe mkfifo(directory + "/pipe", 0o600) == 0)
    for path in [directory + "/pipe", directory, "/dev/null"] {
      #expect(throws: FileError.notRegular) { try Files.readRegular(path) }
      #expect(!Files.isRegular(path))
    }
    try Files.writeAtomically([7], to: directory + "/file")
    #expect(unsafe symlink("file", directory + "/link") == 0)
    #expect(try Files.readRegular(directory + "/link") == [7])
    #expect(throws: FileError.system(.noSuchFile)) { try Files.readRegular(directory + "/missing") }
  }

  @Test("A refusal names the path, its owner and mode, and the process's user; for a missing file, the folder")
  func explanation() throws {
    let path = directory + "/file"
    try Files.writeAtomically([], to: path, mode: 0o640)
    let me = geteuid() == 0 ? "root" : "uid \(geteuid())"
    #expect(
      Files.explain(.system(.permissionDenied), of: path)
        == "\(path): Permission denied (owner \(me), mode 0640, running as \(me))")
    #expect(
      Files.explain(.system(.permissionDenied), of: directory + "/a/b/new")
        == "\(directory)/a/b/new: Permission denied (folder \(directory)/a/b: owner \(me), mode 0700, running as \(me))"
    )
    #expect(
      Files.explain(.system(.noSuchFile), of: directory + "/new") == "\(directory)/new: No such file or directory")
    #expect(Files.explain(.system(.noSuchFile), of: "/no/such/file").hasSuffix("(there is no folder /no/such)"))
  }

  @Test("A replaced file has another identity than the previous one")
  func identity() throws {
    let path = directory + "/file"
    #expect(Files.identity(path) == nil)
    try Files.writeAtomically([1], to: path)
    let first = Files.identity(path)
    #expect(first != nil && first == Files.identity(path))
    try Files.writeAtomically([1], to: path)
    #expect(Files.identity(path) != first)
  }

  @Test("The environment is that of the process")
  func environment() {
    #expect(Environment.variables()["PATH"] == ProcessInfo.processInfo.environment["PATH"])
  }

  private func mode(_ path: String) throws -> Int? {
    try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
  }
}
