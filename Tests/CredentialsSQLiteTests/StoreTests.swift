internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Foundation
internal import NetworkTypes
internal import Testing
internal import TestSupport

@Suite("The SQLite credential store")
struct StoreTests {
  @Test("A user is found by both forms of the name and by USERHASH, in its realm only")
  func lookUp() throws {
    let directory = try TemporaryDirectory()
    let store = try SQLiteCredentialStore(path: directory.path("a.db"))
    #expect(try store.isEmpty())
    let user = try credential("ª", password: "Ⅸ")
    try store.addUser(user)
    #expect(try !store.isEmpty())
    for name in ["ª", "a"] { #expect(try store.keys(realm: "r", username: Array(name.utf8)) == user.keys) }
    #expect(try store.keys(realm: "other", username: Array("a".utf8)) == nil)
    let found = try store.user(realm: "r", userHash: user.keys.userHash)
    #expect(found?.name == Array("ª".utf8))
    #expect(found?.keys == user.keys)
    #expect(try store.users(realm: nil).map(\.name) == ["ª"])
    let created = try #require(try store.users(realm: "r").first?.created)
    #expect(abs(Double(created.seconds) - Date().timeIntervalSince1970) < 60)
  }

  @Test("The second of two confusable names is refused, in both orders")
  func confusableNames() throws {
    for pair in [("ª", "a"), ("a", "ª"), ("a", "a")] {
      let store = try SQLiteCredentialStore.inMemory()
      try store.addUser(try credential(pair.0))
      let second = try credential(pair.1)
      #expect(throws: StoreError.userExists) { try store.addUser(second) }
      try store.addUser(try credential(pair.1, realm: "other"))
    }
  }

  @Test("A password is changed and a user removed; an unknown user is an error")
  func management() throws {
    let store = try SQLiteCredentialStore.inMemory()
    let first = try credential("alice", password: "one")
    let second = try credential("alice", password: "two")
    #expect(throws: StoreError.noSuchUser) { try store.setPassword(of: first) }
    try store.addUser(first)
    try store.setPassword(of: second)
    #expect(try store.keys(realm: "r", username: Array("alice".utf8)) == second.keys)
    #expect(throws: StoreError.noSuchUser) { try store.removeUser(realm: "other", username: Array("alice".utf8)) }
    try store.removeUser(realm: "r", username: Array("alice".utf8))
    #expect(try store.keys(realm: "r", username: Array("alice".utf8)) == nil)
    #expect(throws: StoreError.noSuchUser) { try store.removeUser(realm: "r", username: Array("alice".utf8)) }
  }

  @Test("Secrets keep their bytes and their order, and are numbered")
  func secrets() throws {
    let store = try SQLiteCredentialStore.inMemory()
    let bytes: [[UInt8]] = [[0], [1, 0, 255], Array("'; DROP TABLE secrets; --".utf8)]
    let stored = try bytes.map { try store.addSecret($0, realm: "r") }
    #expect(Set(stored.map(\.id)).count == 3)
    #expect(try store.secrets(realm: "r") == bytes)
    #expect(throws: StoreError.secretExists) { try store.addSecret([0], realm: "r") }
    #expect(throws: StoreError.noSuchSecret) { try store.removeSecret(realm: "other", id: stored[0].id) }
    try store.removeSecret(realm: "r", id: stored[0].id)
    #expect(throws: StoreError.noSuchSecret) { try store.removeSecret(realm: "r", id: stored[0].id) }
    #expect(try store.listSecrets(realm: nil).map(\.id) == [stored[1].id, stored[2].id])
    // A number is never used again.
    let again = try store.addSecret([7], realm: "r")
    #expect(!stored.map(\.id).contains(again.id))
  }

  @Test(
    "Hostile names are stored as plain data",
    arguments: [
      "'; DROP TABLE users; --", "alice' OR '1'='1", "%", "_", "*", "\"", "\\", "%s%n%x", "alice\u{301}", "؟",
    ])
  func hostileNames(name: String) throws {
    let store = try SQLiteCredentialStore.inMemory()
    let bystander = try credential("alice")
    try store.addUser(bystander)
    let user = try credential(name, realm: name)
    try store.addUser(user)
    #expect(try store.keys(realm: name, username: user.name.opaqueString) == user.keys)
    #expect(try store.users(realm: name).count == 1)
    #expect(try store.keys(realm: "r", username: Array(name.utf8)) == nil)
    try store.removeUser(realm: name, username: user.name.opaqueString)
    #expect(try store.users(realm: nil).map(\.name) == ["alice"])
  }

  @Test(
    "A look-up with arbitrary bytes finds no user and changes nothing",
    arguments: [
      [], [0], Array("alice\0".utf8), [0xFF, 0xFE], Array("alice\0' OR 1".utf8), Array(repeating: 0x41, count: 100_000),
    ] as [[UInt8]])
  func hostileLookUps(name: [UInt8]) throws {
    let store = try SQLiteCredentialStore.inMemory()
    try store.addUser(try credential("alice"))
    #expect(try store.keys(realm: "r", username: name) == nil)
    #expect(try store.keys(realm: String(decoding: name, as: UTF8.self), username: Array("alice".utf8)) == nil)
    #expect(throws: StoreError.noSuchUser) { try store.removeUser(realm: "r", username: name) }
  }

  @Test("The change token changes with each commit of any process, and with nothing else")
  func changeToken() throws {
    let directory = try TemporaryDirectory()
    let one = try SQLiteCredentialStore(path: directory.path("a.db"))
    let two = try SQLiteCredentialStore(path: directory.path("a.db"))
    var token = try one.changeToken()
    #expect(try one.changeToken() == token)
    func expectChange() throws {
      let next = try one.changeToken()
      #expect(next != token)
      #expect(try one.changeToken() == next)
      token = next
    }
    try one.addUser(try credential("alice"))
    try expectChange()
    try two.addUser(try credential("bob"))
    try expectChange()
    _ = try two.addSecret([1], realm: "r")
    try expectChange()
    try two.setPassword(of: try credential("alice", password: "new"))
    try expectChange()
    try two.removeUser(realm: "r", username: Array("bob".utf8))
    try expectChange()
    // Reading does not change the token.
    _ = try two.users(realm: nil)
    #expect(try one.changeToken() == token)
    // Commits of another process are visible at once.
    #expect(try one.keys(realm: "r", username: Array("bob".utf8)) == nil)
  }

  @Test("The file and its log are readable by their owner only, and hold no password")
  func fileMode() throws {
    let directory = try TemporaryDirectory()
    let store = try SQLiteCredentialStore(path: directory.path("a.db"))
    try store.addUser(try credential("alice", password: "correct horse battery staple"))
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
      let attributes = try FileManager.default.attributesOfItem(atPath: directory.path(name))
      #expect((attributes[.posixPermissions] as? Int) == 0o600, "\(name)")
      let content = try Data(contentsOf: URL(fileURLWithPath: directory.path(name)))
      #expect(content.range(of: Data("battery".utf8)) == nil)
    }
  }

  @Test("Users and secrets are still there after the store is opened again")
  func reopening() throws {
    let directory = try TemporaryDirectory()
    let user = try credential("alice")
    do {
      let store = try SQLiteCredentialStore(path: directory.path("a.db"))
      try store.addUser(user)
    }
    let store = try SQLiteCredentialStore(path: directory.path("a.db"))
    #expect(try store.keys(realm: "r", username: Array("alice".utf8)) == user.keys)
  }

  @Test("Several threads can open and write one new file at once")
  func concurrentWriters() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("a.db")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<6 {
        group.addTask {
          let store = try SQLiteCredentialStore(path: path)
          for round in 0..<5 { try store.addUser(try credential("user-\(writer)-\(round)")) }
        }
      }
      try await group.waitForAll()
    }
    #expect(try SQLiteCredentialStore(path: path).users(realm: "r").count == 30)
  }

  @Test("A file that is no store, of a later format or unreachable is an error and stays unchanged")
  func wrongFiles() throws {
    let directory = try TemporaryDirectory()
    let text = directory.path("text.db")
    try Data("this is no database, only text that is long enough to look at".utf8).write(to: URL(fileURLWithPath: text))
    #expect(throws: StoreError.self) { try SQLiteCredentialStore(path: text) }
    #expect(try String(contentsOfFile: text, encoding: .utf8).hasPrefix("this is no database"))
    #expect(throws: StoreError.self) { try SQLiteCredentialStore(path: directory.path("missing/a.db")) }
    let later = directory.path("later.db")
    _ = try SQLiteCredentialStore(path: later)
    // user_version is a big-endian number at offset 60 of the file's header.
    var content = try Data(contentsOf: URL(fileURLWithPath: later))
    content.replaceSubrange(60..<64, with: [0, 0, 0, 99])
    try content.write(to: URL(fileURLWithPath: later))
    #expect(throws: StoreError.newerFormat(found: 99, known: 2)) { try SQLiteCredentialStore(path: later) }
  }
}

@Suite("Files of other programs and other users")
struct ForeignFileTests {
  /// Statements that create databases of other programs.
  static let databases = [
    "CREATE TABLE bookmarks (url TEXT)",
    "CREATE TABLE users (id INTEGER, name TEXT); CREATE TABLE secrets (id INTEGER)",
    "CREATE TABLE t (a); PRAGMA user_version = 1", "PRAGMA application_id = 252006", "CREATE VIEW v AS SELECT 1",
    "CREATE TABLE users (id INTEGER, name TEXT); CREATE TABLE secrets (id INTEGER); PRAGMA user_version = 1",
  ]

  @Test("Another program's database is refused by name and stays unchanged", arguments: databases)
  func foreign(statements: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("other.db")
    try RawDatabase.execute(statements, path: path)
    let before = try Data(contentsOf: URL(filePath: path))
    #expect(throws: StoreError.foreign(path: path)) { try SQLiteCredentialStore(path: path) }
    #expect(throws: StoreError.foreign(path: path)) { try SQLiteCredentialStore.examine(path: path) }
    #expect(try Data(contentsOf: URL(filePath: path)) == before)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["other.db"])
  }

  @Test("A store of the versions without an application_id is opened")
  func unmarked() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("a.db")
    _ = try SQLiteCredentialStore(path: path)
    try RawDatabase.execute("PRAGMA application_id = 0", path: path)
    try SQLiteCredentialStore.examine(path: path)
    try SQLiteCredentialStore(path: path).addUser(try credential("alice"))
  }

  @Test("Examining finds the errors of opening and creates no file")
  func examining() throws {
    let directory = try TemporaryDirectory()
    try SQLiteCredentialStore.examine(path: directory.path("new.db"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    // `examine` creates no write-ahead log next to a store that no process has open.
    for name in ["a.db", "ä ?mode=memory#%41.db"] {
      try SQLiteCredentialStore(path: directory.path(name)).addUser(try credential("alice"))
      try SQLiteCredentialStore.examine(path: directory.path(name))
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == ["a.db", "ä ?mode=memory#%41.db"])
    for name in ["a.db", "ä ?mode=memory#%41.db"] { try FileManager.default.removeItem(atPath: directory.path(name)) }
    let missing = directory.path("no/new.db")
    #expect(
      throws: StoreError.unavailable(
        "\(missing): No such file or directory (there is no folder \(directory.path("no")))")
    ) {
      try SQLiteCredentialStore.examine(path: missing)
    }
    #expect(throws: StoreError.self) { try SQLiteCredentialStore(path: directory.path("new.db"), creates: false) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }

  @Test("A pipe in place of a store is refused at once")
  func pipe() throws {
    let directory = try TemporaryDirectory()
    #expect(unsafe mkfifo(directory.path("pipe"), 0o600) == 0)
    for creates in [false, true] {
      #expect {
        _ = try SQLiteCredentialStore(path: directory.path("pipe"), creates: creates)
      } throws: { "\($0)".contains("not a regular file") }
    }
  }

  @Test(
    "Files that root creates in a user's folder belong to that user, the write-ahead log too",
    .enabled(if: geteuid() == 0))
  func owner() throws {
    let directory = try TemporaryDirectory()
    #expect(unsafe chown(directory.path, 3478, 3479) == 0)
    let store = try SQLiteCredentialStore(path: directory.path("a.db"))
    try store.addUser(try credential("alice"))
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
      let attributes = try FileManager.default.attributesOfItem(atPath: directory.path(name))
      #expect(
        attributes[.ownerAccountID] as? Int == 3478 && attributes[.groupOwnerAccountID] as? Int == 3479, "\(name)")
      #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
    }
  }
}

/// A user of realm `r`.
func credential(_ name: String, realm: String = "r", password: String = "secret") throws -> UserRecord {
  try UserRecord(name: name, realm: realm, password: Array(password.utf8))
}
