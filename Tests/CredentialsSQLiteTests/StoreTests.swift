internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Foundation
internal import TestSupport
internal import Testing

@Suite("The SQLite credential store")
struct StoreTests {
  @Test("a user is found by name, by the other form of the name and by USERHASH, in its realm only")
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
    #expect(abs(Double(created) - Date().timeIntervalSince1970) < 60)
  }

  @Test("two names that could be taken for each other are refused, in both orders")
  func confusableNames() throws {
    for pair in [("ª", "a"), ("a", "ª"), ("a", "a")] {
      let store = try SQLiteCredentialStore.inMemory()
      try store.addUser(try credential(pair.0))
      let second = try credential(pair.1)
      #expect(throws: StoreError.userExists) { try store.addUser(second) }
      try store.addUser(try credential(pair.1, realm: "other"))
    }
  }

  @Test("a password is changed and a user removed; unknown ones are told")
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

  @Test("secrets keep their bytes and order, and are named by number")
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
    // A number is never given twice.
    let again = try store.addSecret([7], realm: "r")
    #expect(!stored.map(\.id).contains(again.id))
  }

  @Test("hostile names are only names", arguments: [
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

  @Test("look-ups with any bytes find nobody and break nothing", arguments: [
    [], [0], Array("alice\0".utf8), [0xFF, 0xFE], Array("alice\0' OR 1".utf8), Array(repeating: 0x41, count: 100_000),
  ] as [[UInt8]])
  func hostileLookUps(name: [UInt8]) throws {
    let store = try SQLiteCredentialStore.inMemory()
    try store.addUser(try credential("alice"))
    #expect(try store.keys(realm: "r", username: name) == nil)
    #expect(try store.keys(realm: String(decoding: name, as: UTF8.self), username: Array("alice".utf8)) == nil)
    #expect(throws: StoreError.noSuchUser) { try store.removeUser(realm: "r", username: name) }
  }

  @Test("the change token changes with every commit, own or another's, and only then")
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
    // Reading is no change.
    _ = try two.users(realm: nil)
    #expect(try one.changeToken() == token)
    // What another committed is seen at once.
    #expect(try one.keys(realm: "r", username: Array("bob".utf8)) == nil)
  }

  @Test("the file and its log are for their owner only, and hold no password")
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

  @Test("what was stored is there after the store is opened again")
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

  @Test("several threads that open and write one new file at once all succeed")
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

  @Test("a file that is no store, of a later format or unreachable is told, and not touched")
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
    #expect(throws: StoreError.newerFormat(found: 99, known: 1)) { try SQLiteCredentialStore(path: later) }
  }
}

/// A user of realm `r`.
func credential(_ name: String, realm: String = "r", password: String = "secret") throws -> LongTermCredential {
  try LongTermCredential(name: name, realm: realm, password: Array(password.utf8))
}
