internal import System
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// The peer at the other end of the relay.
protocol RelayPeer: ~Copyable {
  /// The address that the relay sends to.
  var address: SocketAddress { get }
  /// The descriptor to wait for.
  var descriptor: Int32 { get }
  /// The next datagram through the relay and its source; nil if the deadline comes first.
  mutating func receive(until deadline: Instant) throws(AllocationSession.Failure) -> (
    data: [UInt8], from: SocketAddress
  )?
  mutating func send(_ data: [UInt8], to relay: SocketAddress) throws(AllocationSession.Failure)
}

/// A plain UDP socket: a peer without TURN.
struct SocketPeer: RelayPeer, ~Copyable {
  let address: SocketAddress
  var descriptor: Int32 { socket.rawValue }
  private let socket: ClientSocket
  private var buffer = [UInt8](repeating: 0, count: 65_536)

  /// Opens a socket on the address from which this machine reaches the relay, and asks a STUN server (nil: none)
  /// for its mapped address. Nil if the relay cannot be reached.
  init?(reaching relay: SocketAddress, server: SocketAddress?, generator: inout SeededGenerator) {
    guard let route = try? ClientSocket.udp(to: relay), let source = route.localAddress?.address,
      let socket = try? ClientSocket.udp(boundTo: SocketAddress(source, port: 0)), let local = socket.localAddress
    else { return nil }
    var seen: SocketAddress?
    if let server, !source.isLoopback, server.family == relay.family {
      seen = Self.mappedAddress(of: socket, server: server, &buffer, &generator)
    }
    address = seen ?? local
    self.socket = socket
  }

  /// Timeout of the Binding request: the server may not answer Binding at all.
  private static let bindingTimeout = Duration.milliseconds(1500)

  private static func mappedAddress(
    of socket: borrowing ClientSocket, server: SocketAddress, _ buffer: inout [UInt8],
    _ generator: inout SeededGenerator
  ) -> SocketAddress? {
    var settings = Retransmission.Settings()
    settings.limit = bindingTimeout
    var probe = BindingProbe(isStream: false, settings: settings, generator: &generator, now: .read())
    while let deadline = probe.deadline {
      if let request = probe.takeOutput() { _ = try? socket.send(request.span.rawBytes, to: server) }
      var from = SocketAddress.none
      if let count = receive(socket, &buffer, &from, until: deadline) {
        if from == server { probe.receive(buffer.span.rawBytes.extracting(0..<count), now: .read()) }
      }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    guard case .success(let response)? = probe.outcome else { return nil }
    return response.mappedAddress
  }

  mutating func receive(
    until deadline: Instant
  ) throws(AllocationSession.Failure) -> (data: [UInt8], from: SocketAddress)? {
    var from = SocketAddress.none
    guard let count = Self.receive(socket, &buffer, &from, until: deadline) else { return nil }
    return (Array(buffer.prefix(count)), from)
  }

  mutating func send(_ data: [UInt8], to relay: SocketAddress) throws(AllocationSession.Failure) {
    do { _ = try socket.send(data.span.rawBytes, to: relay) } catch { throw .connection(ConnectionFailure(error)) }
  }

  private static func receive(
    _ socket: borrowing ClientSocket, _ buffer: inout [UInt8], _ from: inout SocketAddress, until deadline: Instant
  ) -> Int? {
    while true {
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      if case .bytes(let count) = socket.receive(into: &bytes, from: &from) { return count }
      guard Readiness.wait(for: socket.rawValue, until: deadline) else { return nil }
    }
  }
}

/// A second allocation on the same server: works if plain peers are forbidden or cannot be reached.
struct AllocationPeer: RelayPeer, ~Copyable {
  let address: SocketAddress
  var descriptor: Int32 { session.connection.descriptor }
  private var session: AllocationSession

  init(
    _ target: ServerTarget, _ options: CheckOptions, generator: consuming SeededGenerator
  ) throws(AllocationSession.Failure) {
    // The first allocation uses the user's local port.
    var options = options
    options.local?.port = 0
    var session = try AllocationSession(
      target, options, settings: options.allocation(for: target), generator: generator)
    try session.allocate()
    guard let address = session.client.grant?.relayedAddresses.first else { throw .outOfOrder }
    self.address = address
    self.session = session
  }

  /// Permits the relay to send to this peer.
  mutating func permit(_ relay: SocketAddress) throws(AllocationSession.Failure) {
    try session.createPermission([relay])
  }

  mutating func receive(
    until deadline: Instant
  ) throws(AllocationSession.Failure) -> (data: [UInt8], from: SocketAddress)? {
    try session.receiveData(until: deadline).map { ($0.data, $0.peer) }
  }

  mutating func send(_ data: [UInt8], to relay: SocketAddress) throws(AllocationSession.Failure) {
    try session.send(data, to: relay, until: Instant.read().advanced(by: .seconds(5)))
  }

  mutating func delete() {
    _ = try? session.delete()
    session.close()
  }
}

extension CheckOptions {
  func allocation(for target: ServerTarget) -> ClientAllocation.Settings {
    var settings = ClientAllocation.Settings()
    settings.credential = credential
    settings.isStream = target.transport.isStream
    settings.addressFamily = relayFamily
    settings.retransmission = effectiveRetransmission
    return settings
  }
}
