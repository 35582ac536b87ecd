internal import Credentials
internal import Crypto
internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// Asks one credential store, of one realm or several, on a thread of its own, so that a slow store never holds up a shard, and watches it for
/// changes.
final class CredentialService: Sendable {
  struct LookUp: Sendable {
    var ticket: RecordID
    /// The realm's number.
    var realm: UInt8
    var user: UserReference
    /// Where the answer goes.
    var answers: Mailbox<ShardMessage>
  }

  enum Request: Sendable {
    case lookUp(LookUp)
    case stop
  }

  private let requests: Mailbox<Request>
  /// The names of the realms whose users the store has, by their numbers.
  let realms: [UInt8: String]

  /// Up to 4,096 look-ups may wait for the store; the next is refused.
  init(realms: [UInt8: String]) throws(Errno) {
    self.realms = realms
    requests = try Mailbox(capacity: 4096)
  }

  /// False where too many wait already.
  func lookUp(_ request: LookUp) -> Bool { requests.post(.lookUp(request)) }

  func stop() { requests.post(.stop) }

  /// The thread's body: opens the store by calling `open`, answers until stopped, and calls `changed` with each
  /// realm's shared secrets at first and as soon as any process has changed the store.
  ///
  /// - Parameter folder: where the store's files are, so that the kernel tells of changes; nil, or where it cannot, the
  ///   store is asked four times a second.
  func run(
    log: Log, folder: String? = nil, open: () throws(StoreError) -> any CredentialStore, changed: ([UInt8: [[UInt8]]]) -> Void
  ) {
    guard let loop = try? EventLoop(), (try? loop.add(requests.rawValue, EventToken(kind: 0))) != nil else { return }
    var watch: FolderWatch?
    do throws(Errno) {
      if let folder { watch = try FolderWatch(of: folder) }
      if let descriptor = watch?.rawValue { try loop.add(descriptor, EventToken(kind: 1)) }
    } catch {
      log.info("credential-store-polled", ("reason", "\(error)"))
      watch = nil
    }
    var store: (any CredentialStore)?
    var lastToken: UInt64?
    while true {
      let isTold = watch != nil && store != nil
      _ = loop.wait(milliseconds: isTold ? -1 : 250)
      watch?.drain()
      do throws(StoreError) {
        if store == nil { store = try open() }
        if let token = try store?.changeToken(), token != lastToken {
          var secrets: [UInt8: [[UInt8]]] = [:]
          for (number, name) in realms { secrets[number] = try store?.secrets(realm: name) ?? [] }
          changed(secrets)
          lastToken = token
        }
      } catch {
        log.limited(.error, "credential-store-unavailable", ("error", "\(error)"))
        store = nil
      }
      for request in requests.takeAll() {
        switch request {
        case .stop: return
        case .lookUp(let lookUp): answer(lookUp, store, log: log)
        }
      }
    }
  }

  private func answer(_ lookUp: LookUp, _ store: (any CredentialStore)?, log: Log) {
    guard let store, let realm = realms[lookUp.realm] else {
      lookUp.answers.post(.keysUnavailable(ticket: lookUp.ticket))
      return
    }
    do throws(StoreError) {
      lookUp.answers.post(
        .keys(
          ticket: lookUp.ticket, realm: lookUp.realm, user: lookUp.user, try find(lookUp.user, store, realm: realm)))
    } catch {
      log.limited(.error, "credential-store-unavailable", ("error", "\(error)"))
      lookUp.answers.post(.keysUnavailable(ticket: lookUp.ticket))
    }
  }
}

private func find(
  _ user: UserReference, _ store: any CredentialStore, realm: String
) throws(StoreError) -> TURN.CredentialKeys? {
  switch user {
  case .name(let name):
    guard let keys = try store.keys(realm: realm, username: name) else { return nil }
    return TURN.CredentialKeys(keys)
  case .hash(let hash):
    guard let hash = Digest(hash), let found = try store.user(realm: realm, userHash: hash) else { return nil }
    var keys = TURN.CredentialKeys(found.keys)
    keys.name = found.name
    return keys
  }
}

extension TURN.CredentialKeys {
  /// What the protocol checks with, of what a store keeps.
  init(_ keys: UserKeys) {
    var md5 = [keys.md5]
    if let other = keys.md5OpaqueString { md5.append(other) }
    self.init(md5: md5, sha256: keys.sha256)
  }
}
