internal import Foundation
internal import NetIO
internal import TestSupport
internal import Testing

@Suite("Whole files")
struct FilesTests {
  private let folder: TemporaryDirectory
  private let directory: String

  init() throws {
    folder = try TemporaryDirectory()
    directory = folder.path
    try Files.makeDirectory(directory + "/a/b")
  }

  @Test("a file comes back as it was written, for its owner only, and is replaced as a whole")
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
    // Nothing is left beside it.
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory + "/a").sorted() == ["b", "file"])
  }

  @Test("a link that lies in wait is replaced, not followed")
  func symbolicLink() throws {
    let victim = directory + "/victim"
    try Files.writeAtomically([1], to: victim)
    try FileManager.default.createSymbolicLink(atPath: directory + "/link", withDestinationPath: victim)
    try Files.writeAtomically([2], to: directory + "/link")
    #expect(try Files.read(victim) == [1])
    #expect(try Files.read(directory + "/link") == [2])
  }

  @Test("what can't be read or is too large says why")
  func errors() throws {
    #expect(throws: FileError.system(.noSuchFile)) { try Files.read(directory + "/missing") }
    #expect(throws: FileError.self) { try Files.read(directory) }
    #expect(throws: FileError.self) { try Files.writeAtomically([], to: directory + "/missing/file") }
    try Files.writeAtomically([1, 2, 3], to: directory + "/three")
    #expect(try Files.read(directory + "/three", limit: 3).count == 3)
    #expect(throws: FileError.tooLarge(limit: 2)) { try Files.read(directory + "/three", limit: 2) }
    #expect(throws: FileError.self) { try Files.makeDirectory(directory + "/three/below") }
    #expect("\(FileError.system(.noSuchFile))" == "No such file or directory")
  }

  @Test("a symbolic link stays and its file is replaced where that is asked for; a device or directory is not")
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

  @Test("the state directory is the configured one, made for its owner only; nil where none can be written")
  func stateDirectory() throws {
    let path = directory + "/x/state"
    #expect(StateDirectory.resolve(configured: path, environment: [:]) == path)
    #expect(try mode(path) == 0o700)
    #expect(StateDirectory.resolve(configured: path, environment: [:]) == path)
    try Files.writeAtomically([], to: directory + "/file")
    for impossible in [directory + "/file", directory + "/file/below", "/proc/turnpike"] {
      #expect(StateDirectory.resolve(configured: impossible, environment: ["HOME": directory]) == nil)
    }
  }

  @Test("the environment is the process's")
  func environment() {
    #expect(Environment.variables()["PATH"] == ProcessInfo.processInfo.environment["PATH"])
  }

  private func mode(_ path: String) throws -> Int? {
    try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
  }
}
