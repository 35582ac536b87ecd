internal import Admin
internal import Configuration
internal import Credentials
internal import JSON
internal import Log
internal import Metrics
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TLS
internal import TURN
internal import Tables

/// The admin endpoint's access to the server, for the endpoint's threads.
final class AdminView: ServerView {
  /// The facts that change; the main thread copies them here.
  struct Facts: Sendable {
    var settings: Settings
    var isDraining = false
    var certificate: CertificateFacts?
    /// The relay addresses, and the addresses that are advertised for them.
    var relayed: [RelayedAddresses.Entry] = []
    var addressChanges: UInt64 = 0
    /// The last reported secrets of the stores, by realm.
    var storeSecrets: [RealmID: [[UInt8]]] = [:]
    var upgrades = UpgradeCounts()
  }

  /// The certificate in use.
  struct CertificateFacts: Sendable {
    var subject: String
    var names: [String]
    var notAfter: UnixTime

    init(_ summary: CertificateSummary) {
      subject = summary.subject
      names = summary.dnsNames + summary.addresses.map { "\($0)" }
      notAfter = summary.notAfter
    }
  }

  /// An operator's request to the main thread.
  enum Order: Sendable {
    case drain
    /// Send the shards the changes that the stores have reported, then answer with the number.
    case settle(UInt64, Mailbox<UInt64>)
    /// Reload, then answer with nil for success, else with the problem.
    case reload(number: UInt64, Mailbox<ReloadAnswer>)
    case upgrade(number: UInt64, Mailbox<UpgradeAnswer>)
  }

  /// The outcome of an upgrade, with the number of its order.
  struct UpgradeAnswer: Sendable {
    var number: UInt64
    var outcome: UpgradeOutcome
  }

  /// The outcome of a reload, with the number of its order.
  struct ReloadAnswer: Sendable {
    var number: UInt64
    var problem: String?
  }

  let facts: Mutex<Facts>
  let past: Mutex<Past>
  /// Seconds from the arrival of a request at the endpoint to its answer.
  let requestTime = Mutex(Histogram(from: 0.000_1, factor: 4, buckets: 9))
  let banBook = Mutex(BanBook())
  /// The running capture, or the last one.
  let captures = Mutex<CaptureBuffer?>(nil)
  let orders: Mailbox<Order>
  let shards: [Mailbox<ShardMessage>]
  let boards: [ShardBoard]
  let realmNames: [String]
  let engine: DataPlane.Engine
  let listeners: [ListenerPlan]
  let publicAddresses: PublicAddressService?
  let strangersMemory: StrangersMemory
  /// The limits that clients of the endpoint have reached.
  let limitNotices = Mutex(LimitNotices<ShardLimit>())
  let stores: [CredentialService]
  /// The path of each realm's store.
  let storePaths: [RealmID: String]
  let log: Log
  let events: EventSender?
  let hook: HookService?
  private let selfProbe: SelfProbe?
  let version: String
  let started: Now
  let demoSecret: [UInt8]?
  // These are created at the start, because the system call filter refuses new descriptors later. A late answer has the
  // number of an earlier question.
  private let pages: SessionPages
  private let reloads: Mailbox<ReloadAnswer>
  let upgrades: Mailbox<UpgradeAnswer>
  let settled: Mailbox<UInt64>
  private let lastNumber = Atomic<UInt64>(0)

  init(_ server: Server, engine: DataPlane.Engine, orders: Mailbox<Order>) throws(Errno) {
    pages = try SessionPages(realmNames: server.realmNames)
    pages.use(server.shards)
    reloads = try Mailbox(capacity: 16)
    upgrades = try Mailbox(capacity: 16)
    settled = try Mailbox(capacity: 16)
    log = server.log
    storePaths = Dictionary(
      uniqueKeysWithValues: server.realmNumbers.compactMap { number in
        server.storePath(ofRealm: number).map { (number, $0) }
      })
    facts = Mutex(
      Facts(settings: server.settings, relayed: server.state.relayed.entries, upgrades: server.state.upgrades))
    past = Mutex(Past(history: History(Self.counts(server.boards)), last: .read()))
    self.orders = orders
    shards = server.shards
    boards = server.boards
    realmNames = server.realmNames
    self.engine = engine
    listeners = server.state.listeners
    publicAddresses = server.told.service
    strangersMemory = server.state.strangersMemory
    stores = server.credentialServices
    events = server.events
    hook = server.hook
    selfProbe = server.probeUser.flatMap { SelfProbe(server.state.listeners, user: $0) }
    version = server.host.version
    demoSecret = server.demoSecret
    if let bans = server.succession?.bans { banBook.withLock { $0 = bans } }
    if let capture = server.succession?.capture { captures.withLock { $0 = capture } }
    started = .read()
  }

  /// The relay addresses, and the addresses that are advertised for them.
  var relayed: [RelayedAddresses.Entry] { facts.withLock { $0.relayed } }

  var health: Health {
    let isDraining = facts.withLock { $0.isDraining }
    let stuck = shards.firstStuck()
    return Health(problem: stuck.map { "shard \($0) does not answer" }, isDraining: isDraining)
  }

  func probe() throws(AdminFailure) {
    // The question costs a shard one look-up in its table.
    for index in shards.indices { _ = try ask(index, .show(.ended)) }
    if let problem = selfProbe?.run() { throw .unavailable(problem) }
  }

  func nextNumber() -> UInt64 { lastNumber.wrappingAdd(1, ordering: .relaxed).newValue }

  // MARK: - Sessions

  func sessions(_ query: SessionQuery) throws(AdminFailure) -> JSONValue {
    let filter = try SessionFilter(query)
    var cursor = try SessionCursor(query.after, shards: shards.count)
    var rows: [JSONValue] = []
    var steps = 0
    while cursor.shard < shards.count, rows.count < query.limit, steps < Self.stepLimit {
      steps += 1
      let answer = try ask(cursor.shard, .list(from: cursor.slot, filter, limit: query.limit - rows.count))
      guard case .rows(let found, let next) = answer else { break }
      rows += found.map { describe($0, shard: cursor.shard) }
      if let next { cursor.slot = next } else { cursor = SessionCursor(shard: cursor.shard + 1, slot: 0) }
    }
    var members: [JSONValue.Member] = [.init("sessions", .array(rows))]
    if cursor.shard < shards.count { members.append(.init("next", .string(cursor.text))) }
    return .object(members)
  }

  /// Limit of questions to shards for one page.
  private static let stepLimit = 256

  func session(_ id: String) throws(AdminFailure) -> JSONValue {
    let (shard, handle) = try parse(id)
    guard case .rows(let rows, _) = try ask(shard, .show(handle)), let row = rows.first else {
      throw .notFound("there is no session \(id)")
    }
    return describe(row, shard: shard)
  }

  func endSession(_ id: String) throws(AdminFailure) {
    let (shard, handle) = try parse(id)
    guard case .ended(true) = try ask(shard, .end(handle)) else { throw .notFound("there is no session \(id)") }
  }

  private func parse(_ id: String) throws(AdminFailure) -> (Int, Handle<Allocation>) {
    guard let session = SessionID(id), session.shard < shards.count else {
      throw .notFound("there is no session \(id.debugDescription)")
    }
    return (session.shard, session.handle)
  }

  /// Asks a shard; only on the worker's thread.
  func ask(
    _ shard: Int, _ request: SessionQuestion.Request
  ) throws(AdminFailure) -> SessionQuestion.Answer.Kind {
    do throws(SessionPages.Failure) { return try pages.ask(shard, request) } catch {
      switch error {
      case .busy(let shard): throw .unavailable("shard \(shard) is too busy")
      case .silent(let shard): throw .unavailable("shard \(shard) does not answer")
      }
    }
  }

  private func describe(_ row: SessionSummary, shard: Int) -> JSONValue {
    .object(
      pages.record(row, shard: shard).members + [
        .init("expires-in", Self.number(UInt64(row.expiresIn.wholeSeconds))),
        .init("permissions", Self.number(UInt64(row.permissions))),
        .init("channels", Self.number(UInt64(row.channels))),
        .init("peer-connections", Self.number(UInt64(row.peerConnections))),
      ])
  }

  static func traffic(_ count: TrafficCount) -> JSONValue {
    ["packets": number(count.packets), "bytes": number(count.bytes)]
  }

  static func number(_ value: UInt64) -> JSONValue { .integer(Int64(clamping: value)) }

  // MARK: - Orders

  func drain() throws(AdminFailure) {
    guard orders.post(.drain) else { throw .unavailable("the main thread is too busy") }
  }

  func reload() throws(AdminFailure) {
    let number = nextNumber()
    guard orders.post(.reload(number: number, reloads)) else { throw .unavailable("the main thread is too busy") }
    let deadline = Instant.read().advanced(by: .seconds(10))
    while Instant.read() < deadline {
      reloads.wait(for: deadline.duration(since: .read()))
      guard let answer = reloads.takeAll().first(where: { $0.number == number }) else { continue }
      if let problem = answer.problem { throw .conflict(problem) }
      return
    }
    throw .unavailable("the configuration is still being read; the log has the outcome")
  }
}

/// The identifier of a session: its shard, slot and generation.
struct SessionID {
  var shard: Int
  var handle: Handle<Allocation>

  init(shard: Int, handle: Handle<Allocation>) {
    self.shard = shard
    self.handle = handle
  }

  init?(_ text: String) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, let shard = UInt16(parts[0]), let index = UInt32(parts[1]),
      let generation = UInt32(parts[2])
    else { return nil }
    self.init(shard: Int(shard), handle: Handle(index: index, generation: generation))
  }

  var text: String { "\(shard)-\(handle.index)-\(handle.generation)" }
}

/// The position at which a list continues.
struct SessionCursor {
  var shard: Int
  var slot: UInt32

  init(shard: Int, slot: UInt32) {
    self.shard = shard
    self.slot = slot
  }

  /// Nil: the beginning.
  init(_ text: String?, shards: Int) throws(AdminFailure) {
    self.init(shard: 0, slot: 0)
    guard let text else { return }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let shard = Int(parts[0]), (0..<shards).contains(shard), let slot = UInt32(parts[1]) else {
      throw .invalid("after must be the value of next from the page before")
    }
    self.init(shard: shard, slot: slot)
  }

  var text: String { "\(shard)-\(slot)" }
}

extension SessionFilter {
  init(_ query: SessionQuery) throws(AdminFailure) {
    self.init()
    user = query.user.map { Array($0.utf8) }
    if let text = query.client {
      guard let address = IPAddress(text) else { throw .invalid("client must be an IP address") }
      client = address
    }
    if let text = query.transport {
      guard let value = TransportProtocol.allCases.first(where: { "\($0)" == text.lowercased() }) else {
        throw .invalid("transport must be udp, tcp, tls or dtls")
      }
      transport = value
    }
  }
}
