public import Crypto
internal import NetIO
public import NetworkTypes
internal import STUN
internal import System
public import TURNClient

/// A `ClientAllocation` on a `ClientConnection`: each command blocks until it has succeeded or failed; data that
/// arrives meanwhile waits to be received.
public struct AllocationSession: ~Copyable {
  /// The reason why a command failed.
  public enum Failure: Error, Hashable, Sendable {
    case connection(ConnectionFailure)
    case request(RequestFailure)
    /// The command does not fit the allocation's state.
    case outOfOrder
  }

  /// A peer's datagram.
  public struct Datagram: Hashable, Sendable {
    public var peer: SocketAddress
    public var data: [UInt8]
    /// False: it came in a Data indication.
    public var isChannelData: Bool
  }

  public internal(set) var connection: ClientConnection
  public internal(set) var client: ClientAllocation
  private var writer = MessageWriter(capacity: 66_000)
  private var inbox: [Datagram] = []
  /// The peers of the last eight ICMP errors that the server reported, the newest last.
  public private(set) var icmpPeers: [SocketAddress] = []

  /// Limit of datagrams that wait to be received; further ones are dropped, as in UDP.
  public static let inboxLimit = 1024

  /// Limit of messages other than data that are read after a deadline.
  private static let overtimeLimit = 64

  public init(
    _ connection: consuming ClientConnection, settings: ClientAllocation.Settings, generator: consuming SeededGenerator
  ) {
    var settings = settings
    settings.isStream = connection.transport.isStream
    client = ClientAllocation(settings: settings, generator: generator)
    self.connection = connection
  }

  /// Connects to a server.
  init(
    _ target: ServerTarget, _ options: CheckOptions, settings: ClientAllocation.Settings,
    generator: consuming SeededGenerator
  ) throws(Failure) {
    let connection: ClientConnection
    do { connection = try options.connect(to: target) } catch { throw .connection(error) }
    self.init(connection, settings: settings, generator: generator)
  }

  // MARK: - Commands

  /// Requests the allocation.
  @discardableResult
  public mutating func allocate() throws(Failure) -> ClientAllocation.Event {
    guard client.allocate(now: .read()) else { throw .outOfOrder }
    return try finish(.allocate)
  }

  /// Creates permissions for the peers' IP addresses.
  @discardableResult
  public mutating func createPermission(_ peers: [SocketAddress]) throws(Failure) -> ClientAllocation.Event {
    guard client.createPermission(peers, now: .read()) else { throw .outOfOrder }
    return try finish(.createPermission(peers))
  }

  /// Binds a channel to the peer, or refreshes its binding.
  @discardableResult
  public mutating func bindChannel(to peer: SocketAddress) throws(Failure) -> ClientAllocation.Event {
    guard let channel = client.bindChannel(to: peer, now: .read()) else { throw .outOfOrder }
    return try finish(.channelBind(channel, peer))
  }

  /// Refreshes the allocation.
  @discardableResult
  public mutating func refresh() throws(Failure) -> ClientAllocation.Event {
    guard client.refresh(now: .read()) else { throw .outOfOrder }
    return try finish(.refresh)
  }

  /// Deletes the allocation, which ends the session.
  @discardableResult
  public mutating func delete() throws(Failure) -> ClientAllocation.Event {
    guard client.delete(now: .read()) else { throw .outOfOrder }
    return try finish(.delete)
  }

  /// Closes the connection.
  public mutating func close() { connection.close() }

  // MARK: - Data

  /// Sends data to a peer: as ChannelData if a channel is bound, unless the caller asks for an indication.
  public mutating func send(
    _ data: [UInt8], to peer: SocketAddress, asIndication: Bool = false, until deadline: Instant
  ) throws(Failure) {
    let isFramed =
      asIndication
      ? client.frameIndication(data.span.rawBytes, to: peer, into: &writer)
      : client.frame(data.span.rawBytes, to: peer, into: &writer)
    guard isFramed else { throw .outOfOrder }
    try Self.send(writer, over: &connection, until: deadline)
  }

  /// The next datagram of a peer; nil if the deadline comes first. Keeps the allocation alive meanwhile.
  public mutating func receiveData(until deadline: Instant) throws(Failure) -> Datagram? {
    // With a deadline of now, drains what has arrived, up to `overtimeLimit` messages.
    var overtime = 0
    while inbox.isEmpty {
      let hasMessage = try step(until: deadline)
      guard Instant.read() >= deadline else { continue }
      overtime += 1
      guard hasMessage, overtime <= Self.overtimeLimit else { break }
    }
    return inbox.isEmpty ? nil : inbox.removeFirst()
  }

  // MARK: - The loop

  private mutating func finish(_ operation: ClientAllocation.Operation) throws(Failure) -> ClientAllocation.Event {
    while true {
      while let event = client.takeEvent() {
        guard event.operation == operation, !event.isAutomatic else { continue }
        guard let failure = event.failure else { return event }
        // Sends the Refresh that deletes an unusable allocation, if there is one.
        try? flush()
        throw .request(failure)
      }
      _ = try step(until: .distantFuture)
    }
  }

  /// Sends waiting output and receives one message, or waits for the next timer; whether a message came.
  private mutating func step(until deadline: Instant) throws(Failure) -> Bool {
    do {
      try flush()
      let due = min(deadline, client.deadline ?? .distantFuture)
      guard try connection.receive(until: due) else {
        client.advance(to: .read())
        return false
      }
    } catch {
      throw .connection(error)
    }
    switch Self.receive(connection, &client) {
    case (.data(let peer, _, let isChannelData), let data):
      if inbox.count < Self.inboxLimit {
        inbox.append(Datagram(peer: peer, data: data, isChannelData: isChannelData))
      }
    case (.icmp(let peer, _, _), _): icmpPeers = icmpPeers.suffix(7) + [peer]
    case (.response, _), (.discarded, _): break
    }
    // The timers run after every message: a flood of other messages must not delay them.
    client.advance(to: .read())
    return true
  }

  private mutating func flush() throws(ConnectionFailure) {
    while let message = client.takeOutput() {
      try connection.send(message, until: Instant.read().advanced(by: .seconds(10)))
    }
  }

  private static func receive(
    _ connection: borrowing ClientConnection, _ client: inout ClientAllocation
  ) -> (ClientAllocation.Received, [UInt8]) {
    let message = connection.message
    let received = client.receive(message, now: .read())
    if case .data(_, let range, _) = received { return (received, message.extracting(range).copied()) }
    return (received, [])
  }

  private static func send(
    _ writer: borrowing MessageWriter, over connection: inout ClientConnection, until deadline: Instant
  ) throws(Failure) {
    do { try connection.send(writer.bytes, until: deadline) } catch { throw .connection(error) }
  }
}
