internal import Credentials
@testable internal import CredentialsSQLite
internal import Crypto
internal import NetworkTypes
internal import TestSupport
internal import Testing

@Suite("Users with an MD5 key only")
struct OtherProgramsUsersTests {
  private let name = Array("alice".utf8)

  private func imported(_ name: String = "alice", realm: String = "r") throws -> UserRecord {
    try UserRecord(
      name: name, realm: realm,
      md5: LongTermKey.md5(username: Array(name.utf8), realm: Array(realm.utf8), password: Array("secret".utf8)))
  }

  @Test("A user with an MD5 key only is stored and found, and a new password gives both keys")
  func keys() throws {
    let store = try SQLiteCredentialStore.inMemory()
    let user = try imported()
    try store.addUser(user)
    #expect(try store.keys(realm: "r", username: name) == user.keys)
    #expect(user.keys.sha256 == nil)
    #expect(try store.user(realm: "r", userHash: user.keys.userHash)?.keys == user.keys)
    #expect(try store.hasUsersWithoutSHA256(realm: "r"))
    #expect(try !store.hasUsersWithoutSHA256(realm: "other"))
    let typed = try UserRecord(name: "alice", realm: "r", password: Array("secret".utf8))
    #expect(typed.keys.md5 == user.keys.md5 && typed.keys.userHash == user.keys.userHash)
    try store.setPassword(of: typed)
    #expect(try store.keys(realm: "r", username: name) == typed.keys)
    #expect(try !store.hasUsersWithoutSHA256(realm: "r"))
  }

  @Test("A store of the first format keeps its users, secrets and numbers")
  func migration() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("a.db")
    let user = try UserRecord(name: "alice", realm: "r", password: Array("secret".utf8))
    func hex(_ bytes: [UInt8]) -> String {
      "x'" + bytes.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined() + "'"
    }
    let keys = user.keys
    try RawDatabase.execute(
      """
      \(Migrations.scripts[0])
      INSERT INTO users VALUES (\(hex([0x72])), \(hex(name)), \(hex(name)), \(hex(keys.userHash.array)),
        \(hex(keys.md5.array)), NULL, \(hex(keys.sha256?.array ?? [])), 1234, 5678);
      INSERT INTO secrets (realm, secret, created) VALUES (\(hex([0x72])), \(hex([9, 9])), 1);
      DELETE FROM secrets;
      INSERT INTO secrets (realm, secret, created) VALUES (\(hex([0x72])), \(hex([1, 2])), 1);
      PRAGMA application_id = 1416983150; PRAGMA user_version = 1
      """, path: path)
    let store = try SQLiteCredentialStore(path: path)
    #expect(try store.keys(realm: "r", username: name) == keys)
    #expect(try store.users(realm: nil) == [StoredUser(realm: "r", name: "alice", created: UnixTime(seconds: 1234))])
    #expect(try store.listSecrets(realm: nil).map(\.id) == [2])
    try store.addUser(try imported("bob"))
    #expect(throws: StoreError.userExists) { try store.addUser(try imported("alice")) }
    #expect(try store.hasUsersWithoutSHA256(realm: "r"))
    // The next start finds the present format.
    #expect(try SQLiteCredentialStore(path: path).users(realm: "r").count == 2)
  }

  @Test("Damage in a store's file is found without a change")
  func damage() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("a.db")
    try SQLiteCredentialStore(path: path).addUser(try imported())
    #expect(try SQLiteCredentialStore.damage(path: path) == nil)
  }
}
