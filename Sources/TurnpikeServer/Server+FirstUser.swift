internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Log
internal import NetworkTypes
internal import System
internal import TURN

/// The user that the first start creates if no users are configured. It is an ordinary user of the store, so that the
/// printed credential stays valid when others are added.
extension Server {
  struct FirstUser {
    var name = "turnpike"
    var password: String

    func credential(realm: String) -> UserRecord? {
      try? UserRecord(name: name, realm: realm, password: Array(password.utf8))
    }

    /// Whether a store has the user with this password.
    func isKnown(to store: SQLiteCredentialStore, realm: String) throws(StoreError) -> Bool {
      guard let credential = credential(realm: realm) else { return false }
      return try store.keys(realm: realm, username: credential.name.opaqueString) == credential.keys
    }
  }

  /// The content of `first-user` in the state directory: the password, for later starts that print the line again, and
  /// the realm in which the store has the user. Versions that did not store the user wrote no realm.
  private struct FirstUserFile {
    var user: FirstUser
    var realm: String?

    init(user: FirstUser, realm: String) {
      self.user = user
      self.realm = realm
    }

    init?(_ content: [UInt8]) {
      let lines = String(decoding: content, as: UTF8.self).split(separator: "\n")
      guard let password = lines.first else { return nil }
      user = FirstUser(password: String(password))
      realm = lines.count > 1 ? String(lines[1]) : nil
    }

    var content: [UInt8] { Array("\(user.password)\n\(realm ?? "")\n".utf8) }
  }

  /// Creates the first user if no other user could authenticate. Later starts without configured users print its line
  /// as long as the store has the user with that password.
  ///
  /// - Parameter store: the default realm's store; nil if there is none.
  func prepareFirstUser(_ store: SQLiteCredentialStore?) throws(StartFailure) {
    guard let store else {
      if isUnconfigured { makeFirstUserInMemory() }
      return
    }
    do throws(StoreError) {
      let kept = try keptFirstUser(store)
      if isUnconfigured {
        firstUser = kept
        if kept == nil, try store.isEmpty() { firstUser = try makeFirstUser(store) }
      } else if kept != nil {
        log.info(
          "first-user-active", ("user", "turnpike"),
          ("effect", "the generated user of the first start is still accepted"),
          ("remedy", "turnpike user remove turnpike"))
      }
    } catch {
      throw .failed("\(error)")
    }
  }

  /// Whether the configuration has no user, secret or key, and no anonymous access.
  private var isUnconfigured: Bool {
    let auth = settings.auth
    return !settings.turn.isAnonymous && auth.users.isEmpty && auth.secrets.isEmpty && auth.oauthKeys.isEmpty
      && settings.realms.values.allSatisfy { $0.users.isEmpty && $0.secrets.isEmpty && $0.store.isEmpty }
  }

  private func makeFirstUserInMemory() {
    firstUser = FirstUser(password: Self.newPassword())
    log.warning(
      "first-user-in-memory", ("user", "turnpike"),
      ("effect", "the next start makes another password, and pages with this one then get 401"),
      ("remedy", "let the server keep state: set state-directory"))
  }

  /// A password of 144 random bits, in letters and digits, which need no quoting in a URL or a shell.
  private static func newPassword() -> String {
    String(Base64.encode(SecureRandom.bytes(18)).map { $0 == "+" ? "A" : $0 == "/" ? "B" : $0 })
  }

  /// The first user of an earlier start, if it is still valid: `turnpike user remove` and `passwd` end it like any
  /// user.
  private func keptFirstUser(_ store: SQLiteCredentialStore) throws(StoreError) -> FirstUser? {
    guard let path = statePath("first-user"),
      let content = try? Files.readRegular(path, limit: .kibibytes(4), followsLinks: false),
      let file = FirstUserFile(content)
    else { return nil }
    let realm = settings.realm
    if try file.user.isKnown(to: store, realm: realm) { return file.user }
    if let before = file.realm {
      // The realm has been renamed, and keys depend on the realm's name.
      if before != realm, try file.user.isKnown(to: store, realm: before), try add(file.user, to: store) {
        try store.removeUser(realm: before, username: Array(file.user.name.utf8))
        log.info("first-user-moved", ("from", .text(before)), ("to", .text(realm)))
        return file.user
      }
    } else if try store.isEmpty(), isUnconfigured, try add(file.user, to: store) {
      return file.user
    }
    // The password in the file is no longer valid.
    Files.remove(path)
    if file.realm == nil {
      log.warning(
        "first-user-retired", ("user", "turnpike"),
        ("effect", "pages with the generated user of the first start get 401"),
        ("remedy", "give them a user of the store: turnpike user add NAME"))
    }
    return nil
  }

  private func makeFirstUser(_ store: SQLiteCredentialStore) throws(StoreError) -> FirstUser? {
    let user = FirstUser(password: Self.newPassword())
    guard try add(user, to: store) else { return nil }
    log.info(
      "first-user-made", ("user", "turnpike"),
      ("remedy", "when you have other users: turnpike user remove turnpike"))
    return user
  }

  /// Writes the file with the password, then adds the user to the store: if the start fails between the two, the next
  /// start creates the user again.
  private func add(_ user: FirstUser, to store: SQLiteCredentialStore) throws(StoreError) -> Bool {
    guard let credential = user.credential(realm: settings.realm) else { return false }
    if let path = statePath("first-user") {
      do throws(FileError) {
        try Files.writeAtomically(FirstUserFile(user: user, realm: settings.realm).content, to: path, isState: true)
      } catch {
        log.warning(
          "first-user-not-kept", ("error", .text(Files.explain(error, of: path))),
          ("effect", "the next start does not print the line again"))
      }
    }
    do throws(StoreError) {
      try store.addUser(credential)
      return true
    } catch {
      if error == .userExists { return false }
      throw error
    }
  }
}
