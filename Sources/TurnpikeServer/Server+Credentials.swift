internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Metrics
internal import NetIO
internal import TURN

/// Whom the server knows: users and secrets of the configuration, and the stores of the realms.
extension Server {
  /// The `store` of a realm; empty: none.
  private func store(ofRealm number: UInt8) -> String {
    number == 0 ? settings.auth.store : settings.realms[realmNames[Int(number)]]?.store ?? ""
  }

  /// Where a realm's embedded store is; nil without one, and where it could only be in memory, which is as good.
  private func storePath(ofRealm number: UInt8) -> String? {
    let store = store(ofRealm: number)
    guard store.hasPrefix("sqlite:") else { return nil }
    let name = store.dropFirst("sqlite:".count)
    return name.hasPrefix("/") ? String(name) : statePath(String(name))
  }

  /// Opens every store once to see that it is there and good, and finds out whether a first user is needed.
  func prepareCredentials() throws(StartFailure) {
    var isStoreEmpty = true
    for number in realmNumbers {
      guard let path = storePath(ofRealm: number) else { continue }
      do throws(StoreError) {
        let store = try SQLiteCredentialStore(path: path)
        if number == 0 { isStoreEmpty = try store.isEmpty() }
        state.storeSecrets[number] = try store.secrets(realm: realmNames[Int(number)])
      } catch {
        throw .failed("\(error) (`\(number == 0 ? "auth.store" : "realms.\(realmNames[Int(number)]).store")`, \(path))")
      }
    }
    let auth = settings.auth
    guard !auth.anonymous, auth.users.isEmpty, auth.secrets.isEmpty, auth.oauthKeys.isEmpty, isStoreEmpty,
      settings.realms.values.allSatisfy({ $0.users.isEmpty && $0.secrets.isEmpty && $0.store.isEmpty })
    else { return }
    guard !auth.store.isEmpty else {
      throw .misconfigured(
        "nobody could ever authenticate: `auth.store` is empty and there are no `auth.users` and no `auth.secrets`; "
          + "set one of them, or `auth.anonymous: true`")
    }
    firstUser = try readOrMakeFirstUser()
  }

  private var realmNumbers: [UInt8] { realmNames.indices.map { UInt8(truncatingIfNeeded: $0) } }

  /// One thread for each store, whatever the number of its realms.
  func startCredentialServices() throws(StartFailure) {
    var realmsOfPath: [String: [UInt8: String]] = [:]
    for number in realmNumbers {
      guard let path = storePath(ofRealm: number) else { continue }
      realmsOfPath[path, default: [:]][number] = realmNames[Int(number)]
    }
    for (path, realms) in realmsOfPath {
      let log = log
      let changes = reports
      do throws(Errno) {
        let service = try CredentialService(realms: realms)
        for number in realms.keys { credentials[number] = service }
        credentialServices.append(service)
        threads.append(
          try Thread(name: "credentials") {
            service.run(log: log, folder: Files.folder(of: path), open: { () throws(StoreError) in try SQLiteCredentialStore(path: path) }) { secrets in
              changes.post(.storeChanged(secrets: secrets))
            }
          })
      } catch {
        throw .failed("cannot start a thread: \(error)")
      }
    }
  }

  // MARK: - What the shards are told of it

  func makeRealmSettings(_ number: UInt8) -> RealmSettings {
    let name = realmNames[Int(number)]
    let realm = settings.realms[name] ?? Settings.Realm()
    let isDefault = number == 0
    var users = isDefault ? settings.auth.users : realm.users
    let secrets = isDefault ? settings.auth.secrets : realm.secrets
    let limits = isDefault ? settings.limits : realm.limits
    if isDefault, users.isEmpty, secrets.isEmpty, let firstUser { users[firstUser.name] = firstUser.password }

    var result = RealmSettings()
    result.name = Array(name.utf8)
    for (user, password) in users {
      do throws(LongTermCredential.Invalid) {
        let user = try LongTermCredential(name: user, realm: name, password: Array(password.utf8))
        let keys = CredentialKeys(user.keys)
        result.users[user.name.saslprep] = keys
        result.users[user.name.opaqueString] = keys
        result.userNames[user.keys.userHash.array] = user.name.opaqueString
      } catch {
        log.error("user-invalid", ("key", isDefault ? "auth.users" : "realms.\(name).users"), ("error", "\(error)"))
      }
    }
    let isGone = state.goneRealms.contains(name)
    result.secrets = secrets.map { Array($0.utf8) } + (isGone ? [] : state.storeSecrets[number] ?? [])
    result.hasStore = credentials[number] != nil && !isGone
    result.permissionsPerAllocation = limits.permissionsPerAllocation
    result.channelsPerAllocation = limits.channelsPerAllocation
    result.bandwidthPerAllocation = limits.bandwidthPerAllocation
    return result
  }

  func makeRealmSettings() -> [RealmSettings] { realmNumbers.map { makeRealmSettings($0) } }

  func makeAccessTokenKeys() -> [AccessTokenKey] {
    settings.auth.oauthKeys.map { AccessTokenKey(id: Array($0.id.utf8), key: $0.key, notAfter: $0.notAfter) }
  }
}
