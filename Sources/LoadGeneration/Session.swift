internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURNClient

/// One client's allocation.
final class LoadClient {
  var machine: ClientAllocation
  /// The peer to which the client's packets go.
  var peer: SocketAddress?

  init(_ settings: ClientAllocation.Settings) {
    machine = ClientAllocation(settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
  }

  var relayed: SocketAddress? { machine.grant?.relayedAddresses.first }
}

/// The clients with their allocations, and the control messages between them and the server.
struct Session: ~Copyable {
  let settings: LoadSettings
  var side: ClientSide
  var clients: [LoadClient] = []
  private(set) var failures: UInt64 = 0
  private(set) var firstFailure: String?
  private var nextUpkeep = Instant(nanoseconds: 0)

  /// Limit of pending requests while allocations are created.
  private static let concurrency = 64

  init(_ settings: LoadSettings, count: Int) throws(LoadError) {
    self.settings = settings
    side = try ClientSide.open(settings, count: count)
    for _ in 0..<count { clients.append(makeClient()) }
  }

  func makeClient() -> LoadClient {
    var client = ClientAllocation.Settings()
    client.credential = settings.credential
    client.isStream = settings.transport.isStream
    client.addressFamily = settings.server.family == .ipv6 ? .ipv6 : nil
    return LoadClient(client)
  }

  // MARK: - Setting up

  mutating func allocateAll() throws(LoadError) {
    try onAll("Allocate") { $0.machine.allocate(now: $1) }
  }

  /// Makes a permission or binds a channel for each client's `peer`.
  mutating func permitAll() throws(LoadError) {
    if settings.usesIndications {
      try onAll("CreatePermission") { client, now in
        client.peer.map { client.machine.createPermission([$0], now: now) } ?? false
      }
    } else {
      try onAll("ChannelBind") { client, now in
        client.peer.map { client.machine.bindChannel(to: $0, now: now) != nil } ?? false
      }
    }
  }

  /// Deletes all allocations; gives up if the server does not answer soon.
  mutating func deleteAll() {
    try? onAll("Refresh", timeout: .milliseconds(500)) { client, now in
      client.machine.state == .allocated && client.machine.delete(now: now)
    }
  }

  /// Begins an operation on every client and waits until all have ended.
  private mutating func onAll(
    _ what: String, timeout: Duration? = nil, _ begin: (LoadClient, Instant) -> Bool
  ) throws(LoadError) {
    let timeout = timeout ?? settings.timeout
    var next = 0
    var done = 0
    var progress = Instant.read()
    var upkeep = progress
    while done < clients.count {
      let now = Instant.read()
      while next < clients.count, next - done < Self.concurrency {
        if begin(clients[next], now) { try transmit(next) } else { done += 1 }
        next += 1
      }
      try side.flush()
      _ = try side.poll(for: .milliseconds(20))
      for message in side.inbox {
        receiveControl(message, now: .read())
        try transmit(message.client)
        while let event = clients[message.client].machine.takeEvent() {
          if event.isAutomatic { continue }
          if let failure = event.failure {
            try? side.flush()
            throw .request(what, failure)
          }
          done += 1
          progress = .read()
        }
      }
      if now >= upkeep {
        upkeep = now.advanced(by: .milliseconds(50))
        try advance(clients.indices.prefix(next), now: now)
      }
      if Instant.read().duration(since: progress) > timeout { throw .silence(waitingFor: what) }
    }
  }

  // MARK: - Control messages

  /// Passes a control message to its client.
  mutating func receiveControl(_ message: Incoming, now: Instant) {
    guard clients.indices.contains(message.client) else { return }
    let client = clients[message.client]
    _ = client.machine.receive(side.received.bytes(message.slot, message.range), now: now)
  }

  /// Queues a client's output.
  mutating func transmit(_ index: Int) throws(LoadError) {
    while let bytes = clients[index].machine.takeOutput() {
      try side.queue(bytes.span.rawBytes, client: index)
    }
  }

  private mutating func advance(_ indices: some Sequence<Int>, now: Instant) throws(LoadError) {
    for index in indices {
      guard let deadline = clients[index].machine.deadline, deadline <= now else { continue }
      clients[index].machine.advance(to: now)
      try transmit(index)
    }
  }

  /// Once a second, sends the refreshes and retransmissions whose time has come.
  mutating func upkeep(now: Instant) throws(LoadError) {
    guard now >= nextUpkeep else { return }
    nextUpkeep = now.advanced(by: .seconds(1))
    try advance(clients.indices, now: now)
    for client in clients {
      while let event = client.machine.takeEvent() {
        if let failure = event.failure { record("\(event.operation.words): \(failure.words)") }
      }
    }
    try side.pushWaiting()
    try side.flush()
  }

  mutating func record(_ failure: String) {
    failures += 1
    if firstFailure == nil { firstFailure = failure }
  }
}
