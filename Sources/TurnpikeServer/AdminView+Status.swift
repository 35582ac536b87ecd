internal import Admin
internal import Configuration
internal import Crypto
internal import JSON
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// The state of the server, its configuration and credentials.
extension AdminView {
  func status() throws(AdminFailure) -> JSONValue {
    let facts = facts.withLock { $0 }
    let snapshots = boards.map { $0.read() }
    var toPeers = TrafficCount()
    var toClients = TrafficCount()
    for snapshot in snapshots {
      toPeers.add(snapshot.relay.toPeers)
      toClients.add(snapshot.relay.toClients)
    }
    let ports = facts.settings.relay.ports
    return .object([
      .init("version", .string(version)),
      .init("started", .string(CivilTime.text(started.wall))),
      .init("seconds", Self.number(Instant.read().nanoseconds(since: started.instant) / 1_000_000_000)),
      .init("state", facts.isDraining ? "draining" : "ready"),
      .init("engine", engine == .epoll ? "epoll" : "io_uring"),
      .init("allocations", .integer(Int64(snapshots.reduce(0) { $0 + $1.sessions.liveCount }))),
      .init(
        "shards",
        .array(
          snapshots.map { snapshot in
            [
              "allocations": .integer(Int64(snapshot.sessions.liveCount)),
              "connections": .integer(Int64(snapshot.connections + snapshot.associations)),
              "processor-seconds": .double(snapshot.processorTime.fractionalSeconds),
            ]
          })),
      .init("listeners", .array(listeners.map { .string("\($0.transport)://\($0.address)") })),
      .init("relay-addresses", .array(relayed.map { .string("\($0.advertised)") })),
      .init("relay-ports", .string("\(ports.lowerBound)-\(ports.upperBound)")),
      .init("certificate", Self.describe(facts.certificate)),
      .init(
        "stores",
        .array(
          stores.map { store in
            [
              "realms": .array(store.realms.values.sorted().map { .string($0) }), "is-open": .bool(store.isOpen),
            ]
          })),
      .init("to-peers", Self.traffic(toPeers)),
      .init("to-clients", Self.traffic(toClients)),
    ])
  }

  private static func describe(_ certificate: CertificateFacts?) -> JSONValue {
    guard let certificate else { return .object([]) }
    return [
      "subject": .string(certificate.subject),
      "expires": .string(CivilTime.text(certificate.notAfter)),
      "names": .array(certificate.names.map { .string($0) }),
    ]
  }

  func configuration() throws(AdminFailure) -> String { facts.withLock { $0.settings }.effectiveYAML() }

  func credentials(_ query: CredentialsQuery) throws(AdminFailure) -> JSONValue {
    let settings = facts.withLock { $0.settings }
    let realm = query.realm ?? settings.realm
    guard realmNames.contains(realm) else { throw .notFound("there is no realm \(realm.debugDescription)") }
    let configured = realm == settings.realm ? settings.auth.secrets : settings.realms[realm]?.secrets ?? []
    let number = realmNames.firstIndex(of: realm) ?? 0
    let stored = facts.withLock { $0.storeSecrets[RealmID(rawValue: UInt8(truncatingIfNeeded: number))] ?? [] }
    guard let secret = configured.first.map({ Array($0.utf8) }) ?? stored.first else {
      throw .conflict("the realm has no shared secret: set auth.secrets, or run turnpike secret add")
    }
    if let user = query.user, user.utf8.count > 400 || user.unicodeScalars.contains(where: { $0.value < 0x20 }) {
      throw .invalid("user is longer than 400 bytes or has control characters")
    }
    let expiry = Now.read().wall.advanced(by: query.lifetime)
    let username = query.user.map { "\(expiry):\($0)" } ?? "\(expiry)"
    let password = TimeLimitedCredential.password(username: Array(username.utf8), secret: secret)
    let urls = IceServers.urls(
      listeners: settings.effectiveListeners, reachableAddresses: relayed.map(\.advertised), names: HostNames(settings))
    return IceServers(urls: urls, username: username, credential: String(decoding: password, as: UTF8.self)).document
  }
}
