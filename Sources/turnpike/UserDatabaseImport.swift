internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import NetworkTypes
internal import TurnpikeServer

/// The import of coturn's user database into our store and configuration.
struct UserDatabaseImport {
  private let database: CoturnDatabase

  init(_ path: String) throws(Failure) {
    do throws(StoreError) { database = try CoturnDatabase(path: path) } catch { throw .failed("\(error)") }
  }

  /// The translation of the configuration, with the database's peers and keys of access tokens.
  func translation(of bytes: [UInt8]) -> CoturnTranslation {
    let lines = database.peerRanges.map { "\($0.isAllowed ? "allowed" : "denied")-peer-ip=\($0.range)" }
    let keys = database.oauthKeys.compactMap { key -> Settings.OAuthKey? in
      guard let bytes = Base64.decode(key.key), let algorithm = Settings.OAuthKey.Algorithm(rawValue: key.algorithm),
        bytes.count >= algorithm.byteCount
      else {
        tell("warning: the key \(key.id.debugDescription) of oauth_key is not one for A256GCM or A128GCM")
        return nil
      }
      // coturn uses the beginning of a longer key.
      return Settings.OAuthKey(
        id: key.id, key: Array(bytes.prefix(algorithm.byteCount)), algorithm: algorithm, notAfter: key.notAfter)
    }
    return CoturnTranslation(
      bytes, database: lines, oauthKeys: keys, hostAddress: ConfigurationRules.sourceAddress)
  }

  /// Stores the users and secrets. Users and secrets that the store already has stay as they are.
  ///
  /// - Parameter realm: the realm of the translated configuration.
  func store(with invocation: Invocation, realm: String) throws(Failure) {
    let settings = try invocation.configuration().settings
    let realms = Set(database.users.map(\.realm) + database.secrets.map(\.realm)).sorted()
    for name in realms {
      let users = database.users.filter { $0.realm == name }
      let secrets = database.secrets.filter { $0.realm == name }
      guard !name.isEmpty else {
        tell("warning: \(users.count) users and \(secrets.count) secrets have no realm and are not imported")
        continue
      }
      let counts = try invocation.withStore(settings, realm: name) { store throws(StoreError) in
        (try add(users, to: store), try add(secrets, to: store))
      }
      tell("the store has \(counts.0) more users and \(counts.1) more secrets of the realm \(name)")
      if name != realm { tell("warning: \(name) is another realm: add it to realms, with a store") }
    }
    if database.users.contains(where: { $0.key != nil }) {
      tell(
        """
        note: coturn keeps MD5 keys only. While the store has such a user, its realm offers clients MD5 and not \
        SHA-256. turnpike user passwd gives a user both keys.
        """)
    }
    for table in database.ignoredTables { tell("warning: the table \(table) has no equivalent and is not imported") }
  }

  private func add(_ users: [CoturnDatabase.User], to store: any CredentialStore) throws(StoreError) -> Int {
    var count = 0
    for user in users {
      let name = user.name.debugDescription
      guard let key = user.key else {
        tell("warning: the key of the user \(name) is not an MD5 key; the user is not imported")
        continue
      }
      let record: UserRecord
      do throws(UserRecord.Invalid) { record = try UserRecord(name: user.name, realm: user.realm, md5: key) } catch {
        tell("warning: \(name): \(error)")
        continue
      }
      if try addUser(record, to: store) {
        count += 1
      } else {
        tell("note: the user \(name) exists and stays as it is")
      }
    }
    return count
  }

  private func addUser(_ record: UserRecord, to store: any CredentialStore) throws(StoreError) -> Bool {
    do throws(StoreError) {
      try store.addUser(record)
      return true
    } catch {
      guard error == .userExists else { throw error }
      return false
    }
  }

  private func add(_ secrets: [CoturnDatabase.Secret], to store: any CredentialStore) throws(StoreError) -> Int {
    var count = 0
    for secret in secrets where !secret.value.isEmpty {
      do throws(StoreError) {
        _ = try store.addSecret(secret.value, realm: secret.realm)
        count += 1
      } catch {
        guard error == .secretExists else { throw error }
        tell("note: a secret of the realm \(secret.realm) exists")
      }
    }
    return count
  }
}

extension Settings.OAuthKey.Algorithm {
  fileprivate var byteCount: Int { self == .a256gcm ? 32 : 16 }
}
