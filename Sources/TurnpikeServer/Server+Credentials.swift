internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Log
internal import NetworkTypes
internal import System
internal import TURN

/// Credentials: users and secrets of the configuration, and the stores of the realms.
extension Server {
  /// The `store` of a realm; empty: none.
  private func store(ofRealm number: RealmID) -> String {
    number == .default ? settings.auth.store : settings.realms[realmNames[Int(number.rawValue)]]?.store ?? ""
  }

  /// The path of a realm's embedded store; nil without one, or without a state directory.
  func storePath(ofRealm number: RealmID) -> String? {
    StorePath.path(of: store(ofRealm: number), in: stateDirectory.path)
  }

  /// Opens every store once to check it, and prepares the first user.
  func prepareCredentials() throws(StartFailure) {
    var defaultStore: SQLiteCredentialStore?
    for number in realmNumbers {
      guard let path = storePath(ofRealm: number) else { continue }
      do throws(StoreError) {
        let store = try SQLiteCredentialStore(path: path)
        if number == .default { defaultStore = store }
        state.storeContents[number] = try StoreContent(of: realmNames[Int(number.rawValue)], in: store)
      } catch {
        throw .failed(
          "\(error) (`\(number == .default ? "auth.store" : "realms.\(realmNames[Int(number.rawValue)]).store")`, \(path))"
        )
      }
    }
    try prepareFirstUser(defaultStore)
  }

  var realmNumbers: [RealmID] {
    realmNames.indices.map { RealmID(rawValue: UInt8(truncatingIfNeeded: $0)) }
  }

  /// Starts one thread for each store, which may have several realms.
  func startCredentialServices() throws(StartFailure) {
    var realmsOfPath: [String: [RealmID: String]] = [:]
    for number in realmNumbers {
      guard let path = storePath(ofRealm: number) else { continue }
      realmsOfPath[path, default: [:]][number] = realmNames[Int(number.rawValue)]
    }
    for (path, realms) in realmsOfPath {
      let log = log
      let changes = reports
      let confinement = host.confinement
      do throws(Errno) {
        let service = try CredentialService(realms: realms, hook: hook)
        for number in realms.keys { credentials[number] = service }
        credentialServices.append(service)
        storeThreads.append(
          try Thread(name: "credentials") {
            confinement?.confineThread()
            // `prepareCredentials` has created the store. A store that is deleted later is not created again: the
            // operator may have deleted it on purpose.
            let open = { () throws(StoreError) in try SQLiteCredentialStore(path: path, creates: false) }
            service.run(log: log, path: path, open: open) { contents in
              changes.post(.storeChanged(contents))
            }
          })
      } catch {
        throw .failed("cannot start a thread: \(error)")
      }
    }
  }

  /// Starts the threads that ask `auth.hook`.
  func startHook() throws(StartFailure) {
    guard !settings.auth.hook.isEmpty else { return }
    do throws(Errno) {
      let service = try HookService(
        url: settings.auth.hook, secret: settings.auth.hookSecret, realmNames: realmNames,
        quotas: state.ledger, log: log)
      let confinement = host.confinement
      for index in 0..<HookService.threads {
        hookThreads.append(
          try Thread(name: "hook-\(index)") {
            confinement?.confineThread()
            service.run(index)
          })
      }
      hook = service
    } catch {
      throw .failed("cannot start a thread: \(error)")
    }
  }

  // MARK: - Informing the shards

  func makeRealmSettings(_ number: RealmID) -> RealmSettings {
    let name = realmNames[Int(number.rawValue)]
    let realm = settings.realms[name] ?? Settings.RealmSection()
    let isDefault = number == .default
    var users = isDefault ? settings.auth.users : realm.users
    let secrets = isDefault ? settings.auth.secrets : realm.secrets
    // If the realm has a store, the store has the first user.
    if isDefault, credentials[.default] == nil, let firstUser { users[firstUser.name] = firstUser.password }
    if let probeUser { users[probeUser.name] = probeUser.password }

    var result = RealmSettings()
    result.name = Array(name.utf8)
    for (user, password) in users {
      do throws(UserRecord.Invalid) {
        let user = try UserRecord(name: user, realm: name, password: Array(password.utf8))
        let keys = CredentialKeys(user.keys)
        result.users[user.name.saslprep] = keys
        result.users[user.name.opaqueString] = keys
        result.userNames[user.keys.userHash.array] = user.name.opaqueString
      } catch {
        log.error("user-invalid", ("key", isDefault ? "auth.users" : "realms.\(name).users"), ("error", "\(error)"))
      }
    }
    let isGone = state.removedRealms.contains(name)
    result.secrets = secrets.map { Array($0.utf8) } + (isGone ? [] : state.storeContents[number]?.secrets ?? [])
    if isDefault, let demoSecret { result.secrets.append(demoSecret) }
    result.hasUsersWithoutSHA256 = !isGone && state.storeContents[number]?.hasUsersWithoutSHA256 == true
    result.hasHook = hook != nil
    result.hasStore = (credentials[number] != nil || hook != nil) && !isGone
    result.limits = (isDefault ? settings.limits : realm.limits).ofRealm
    return result
  }

  func makeRealmSettings() -> [RealmSettings] { realmNumbers.map { makeRealmSettings($0) } }

  func makeAccessTokenKeys() -> [AccessTokenKey] {
    settings.auth.oauthKeys.map { AccessTokenKey(id: Array($0.id.utf8), key: $0.key, notAfter: $0.notAfter) }
  }
}
