internal import Credentials
internal import Crypto
internal import Log
internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN
internal import Tables

/// Queries one credential store, of one or several realms, on its own thread, so that a slow store never blocks a
/// shard. It also watches the store for changes.
final class CredentialService: Sendable {
  struct LookUp: Sendable {
    var ticket: Handle<PendingRequest>
    /// The realm's number.
    var realm: RealmID
    var user: UserReference
    /// The client's address.
    var source = IPAddress.ipv4Any
    /// The mailbox for the answer.
    var answers: Mailbox<ShardMessage>
  }

  enum Request: Sendable {
    case lookUp(LookUp)
    /// Look for changes of the store, then answer with the number.
    case look(UInt64, Mailbox<UInt64>)
    case stop
  }

  private let requests: Mailbox<Request>
  /// The names of the store's realms, by their numbers.
  let realms: [RealmID: String]
  private let hook: HookService?
  private let opened = Atomic<Bool>(false)

  /// Whether the store can be read.
  var isOpen: Bool { opened.load(ordering: .relaxed) }

  /// Up to 4,096 look-ups may wait for the store; further ones are refused.
  ///
  /// - Parameter hook: the hook for users that the store does not have.
  init(realms: [RealmID: String], hook: HookService? = nil) throws(Errno) {
    self.realms = realms
    self.hook = hook
    requests = try Mailbox(capacity: 4096)
  }

  /// Queues a look-up; false if too many wait already.
  func lookUp(_ request: LookUp) -> Bool { requests.post(.lookUp(request)) }

  /// Looks for changes of the store now, reports them as usual, then posts the number. Answers that were read before a
  /// change are posted before the number. False if too many requests wait already.
  func look(_ number: UInt64, _ answers: Mailbox<UInt64>) -> Bool { requests.post(.look(number, answers)) }

  func stop() { requests.post(.stop) }

  /// The thread's body: opens the store with `open`, answers until stopped, and calls `changed` with each realm's
  /// content at first and after any process has changed the store.
  ///
  /// - Parameter path: the store's file. inotify reports changes in its folder, and a deleted or replaced file is
  ///   opened again. Nil, or without inotify: the store is polled four times a second.
  func run(
    log: Log, path: String? = nil, open: () throws(StoreError) -> any CredentialStore,
    changed: ([RealmID: StoreContent]) -> Void
  ) {
    guard let loop = try? EventLoop(), (try? loop.add(requests.rawValue, EventToken(kind: 0))) != nil else { return }
    var watch: FolderWatch?
    var isWatching = false
    var quickLooks = 0
    var hasToldOfPolling = false
    var opened = OpenedStore(path: path)
    var looks: [Look] = []
    while true {
      if !isWatching, let path {
        do throws(Errno) {
          let new = try FolderWatch(of: Files.folder(of: path))
          try loop.add(new.rawValue, EventToken(kind: 1))
          watch = consume new
          isWatching = true
        } catch {
          if !hasToldOfPolling { log.info("credential-store-polled", ("reason", "\(error)")) }
          hasToldOfPolling = true
        }
      }
      // This finds changes from before the watch began.
      look(&opened, log: log, open: open, changed: changed)
      for look in looks { look.answers.post(look.number) }
      looks = []
      guard answerAll(opened.store, &looks, log: log) else { return }
      let isTold = isWatching && opened.store != nil
      let pause = !looks.isEmpty ? 0 : !isTold ? 250 : quickLooks > 0 ? 50 : 5000
      let count = loop.wait(for: .milliseconds(pause))
      quickLooks -= quickLooks > 0 ? 1 : 0
      for index in 0..<count where loop.event(index).token.kind == 1 { quickLooks = Self.quickLookCount }
      if watch?.drain() == false {
        watch = nil
        isWatching = false
      }
    }
  }

  /// A request to look for changes, for which another thread waits.
  private struct Look {
    var number: UInt64
    var answers: Mailbox<UInt64>
  }

  /// Reports a changed store; closes a store that fails.
  private func look(
    _ opened: inout OpenedStore, log: Log, open: () throws(StoreError) -> any CredentialStore,
    changed: ([RealmID: StoreContent]) -> Void
  ) {
    do throws(StoreError) {
      if let content = try opened.look(realms, log: log, open: open) { changed(content) }
    } catch {
      log.limited(.error, "credential-store-unavailable", ("error", .text("\(error)")))
      opened.store = nil
    }
    self.opened.store(opened.store != nil, ordering: .relaxed)
  }

  /// The number of checks, 50 ms apart, after an inotify event: SQLite first writes its log, which inotify reports, and
  /// then commits in shared memory, which inotify misses. A further check every 5 s finds changes without an event:
  /// writes by other hosts on a network drive, and a folder whose parent was replaced.
  private static let quickLookCount = 4

  /// Answers waiting requests; false after a stop request.
  private func answerAll(_ store: (any CredentialStore)?, _ looks: inout [Look], log: Log) -> Bool {
    for request in requests.takeAll() {
      switch request {
      case .stop: return false
      case .look(let number, let answers): looks.append(Look(number: number, answers: answers))
      case .lookUp(let lookUp): answer(lookUp, store, log: log)
      }
    }
    return true
  }

  private func answer(_ lookUp: LookUp, _ store: (any CredentialStore)?, log: Log) {
    guard let store, let realm = realms[lookUp.realm] else {
      post(.keysUnavailable(ticket: lookUp.ticket), for: lookUp, log: log)
      return
    }
    do throws(StoreError) {
      let keys = try find(lookUp.user, store, realm: realm)
      if keys == nil, let hook {
        if !hook.lookUp(lookUp) { post(.keysUnavailable(ticket: lookUp.ticket), for: lookUp, log: log) }
        return
      }
      post(.keys(ticket: lookUp.ticket, realm: lookUp.realm, user: lookUp.user, keys), for: lookUp, log: log)
    } catch {
      log.limited(.error, "credential-store-unavailable", ("error", "\(error)"))
      post(.keysUnavailable(ticket: lookUp.ticket), for: lookUp, log: log)
    }
  }

  /// A shard with a full mailbox does not get the answer; the client will send its request again.
  private func post(_ answer: ShardMessage, for lookUp: LookUp, log: Log) {
    guard !lookUp.answers.post(answer) else { return }
    log.limited(
      .warning, "limit-reached", source: "store-answers", ("limit", "store-answers"), ("key", .text(LimitText.fixed)),
      ("effect", "requests are dropped; clients send them again"))
  }
}

/// A store's facts about a whole realm.
struct StoreContent: Equatable, Sendable {
  /// The shared secrets.
  var secrets: [[UInt8]] = []
  /// Whether a user has only an MD5 key.
  var hasUsersWithoutSHA256 = false

  init(of realm: String, in store: any CredentialStore) throws(StoreError) {
    secrets = try store.secrets(realm: realm)
    hasUsersWithoutSHA256 = try store.hasUsersWithoutSHA256(realm: realm)
  }
}

/// The open store: its file, and its state at the last check.
private struct OpenedStore {
  /// Nil for a store that is not a file.
  let path: String?
  var store: (any CredentialStore)?
  private var identity: Files.Identity?
  private var lastToken: UInt64?
  private var isMissing = false

  init(path: String?) { self.path = path }

  /// Opens the store if it is not open, or if its path now names another file.
  ///
  /// - Returns: each realm's content if the store may have changed since the last check, else nil.
  mutating func look(
    _ realms: [RealmID: String], log: Log, open: () throws(StoreError) -> any CredentialStore
  ) throws(StoreError) -> [RealmID: StoreContent]? {
    let current = path.flatMap { Files.identity($0) }
    if let replaced = store, current != identity {
      if current != nil { replaced.abandon() }
      store = nil
      let effect: LogValue =
        current == nil ? "its users and secrets are not found until there is a file again" : "the new file is read"
      log.warning(
        current == nil ? "credential-store-deleted" : "credential-store-replaced", ("path", .text(path ?? "")),
        ("effect", effect))
      isMissing = current == nil
    }
    if store == nil {
      if isMissing, current == nil { return nil }
      store = try open()
      // A change token is valid for one file only.
      lastToken = nil
      identity = current
      if isMissing { log.info("credential-store-opened", ("path", .text(path ?? ""))) }
      isMissing = false
    }
    guard let store else { return nil }
    let token = try store.changeToken()
    if token == lastToken { return nil }
    lastToken = token
    var contents: [RealmID: StoreContent] = [:]
    for (number, name) in realms { contents[number] = try StoreContent(of: name, in: store) }
    return contents
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
  /// The keys that the relay needs, from a store's keys.
  init(_ keys: UserKeys) {
    var md5 = [keys.md5]
    if let other = keys.md5OpaqueString { md5.append(other) }
    self.init(md5: md5, sha256: keys.sha256)
  }
}
