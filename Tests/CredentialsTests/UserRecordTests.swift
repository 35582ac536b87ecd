internal import Credentials
internal import Crypto
internal import StringPreparation
internal import Testing

@Suite("Long-term credentials")
struct UserRecordTests {
  /// RFC 5769 section 2.4: the key is MD5 of the SASLprep forms.
  @Test("The keys are those of RFC 5769")
  func rfc5769() throws {
    let user = try UserRecord(
      name: "マトリックス", realm: "example.org", password: Array("The\u{AD}M\u{AA}tr\u{2168}".utf8))
    let key = LongTermKey.md5(
      username: Array("マトリックス".utf8), realm: Array("example.org".utf8), password: Array("TheMatrIX".utf8))
    #expect(user.keys.md5 == key)
    // OpaqueString refuses U+00AD, so there is only the SASLprep form.
    #expect(user.keys.md5OpaqueString == nil)
  }

  /// RFC 8489 appendix B.1: USERHASH of the same name and realm.
  @Test("USERHASH is that of RFC 8489")
  func userHash() throws {
    let user = try UserRecord(name: "マトリックス", realm: "example.org", password: Array("TheMatrIX".utf8))
    let expected = "4a3cf38fef6992bda952c67804 17da0f24819415569e60b205c46e41407f1704".filter { $0 != " " }
    #expect(user.keys.userHash.array.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == expected)
  }

  @Test("An ASCII password has one MD5 key; one with different prepared forms has two")
  func forms() throws {
    let plain = try UserRecord(name: "alice", realm: "r", password: Array("secret".utf8))
    #expect(plain.keys.md5OpaqueString == nil)
    #expect(plain.name.saslprep == plain.name.opaqueString)
    let other = try UserRecord(name: "ª", realm: "r", password: Array("Ⅸ".utf8))
    #expect(other.name.saslprep == Array("a".utf8))
    #expect(other.name.opaqueString == Array("ª".utf8))
    let sasl = LongTermKey.md5(username: Array("a".utf8), realm: Array("r".utf8), password: Array("IX".utf8))
    let opaque = LongTermKey.md5(username: Array("ª".utf8), realm: Array("r".utf8), password: Array("Ⅸ".utf8))
    #expect(other.keys.md5 == sasl)
    #expect(other.keys.md5OpaqueString == opaque)
  }

  @Test(
    "A password that no profile accepts is refused, and the message does not hold it",
    arguments: [
      ("", "r", "p", UserRecord.Invalid.name(.empty)),
      ("a\u{7}", "r", "p", .name(.forbidden(7))),
      ("a", "", "p", .realm(.empty)),
      ("a", "r", "", .password(.empty)),
      ("a", "r", "hunter2\n", .password(.forbidden(10))),
      (String(repeating: "a", count: 509), "r", "p", .nameTooLong),
    ])
  func invalid(name: String, realm: String, password: String, expected: UserRecord.Invalid) {
    let error = #expect(throws: UserRecord.Invalid.self) {
      _ = try UserRecord(name: name, realm: realm, password: Array(password.utf8))
    }
    #expect(error == expected)
    #expect(error.map { !"\($0)".contains("hunter2") } == true)
  }

  @Test("A static user is found by each form of the name and by USERHASH")
  func staticLookUp() throws {
    var credentials = StaticCredentials()
    #expect(credentials.isEmpty)
    let user = try UserRecord(name: "ª", realm: "r", password: Array("p".utf8))
    let isFirstAdded = credentials.add(user)
    let isSecondAdded = credentials.add(try UserRecord(name: "a", realm: "r", password: Array("p".utf8)))
    #expect(isFirstAdded && !isSecondAdded)
    credentials.add(secret: [1, 0, 2], realm: "r")
    credentials.add(secret: [3], realm: "r")
    #expect(credentials.keys(realm: "r", username: Array("ª".utf8)) == user.keys)
    #expect(credentials.keys(realm: "r", username: Array("a".utf8)) == user.keys)
    #expect(credentials.keys(realm: "other", username: Array("a".utf8)) == nil)
    #expect(credentials.keys(realm: "r", username: Array("a\0".utf8)) == nil)
    #expect(credentials.user(realm: "r", userHash: user.keys.userHash)?.name == Array("ª".utf8))
    #expect(credentials.secrets(realm: "r") == [[1, 0, 2], [3]])
    #expect(credentials.secrets(realm: "other").isEmpty)
  }
}
