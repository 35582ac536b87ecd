internal import System
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// Measures how long a NAT keeps a binding without traffic. Many sockets make bindings at once; after a different time
/// for each, the server sends to it at the request of another socket (RFC 5780 section 4.6).
struct LifetimeSearch: ~Copyable {
  /// A socket whose binding gets no traffic until its test.
  private final class Sleeper {
    let socket: ClientSocket
    let mappedPort: UInt16
    let began: Instant

    init(_ socket: consuming ClientSocket, _ mappedPort: UInt16, _ began: Instant) {
      self.socket = socket
      self.mappedPort = mappedPort
      self.began = began
    }
  }

  private let server: SocketAddress
  private let local: SocketAddress?
  private let schedule: [Duration]
  private let timeout: Duration
  private let caller: ClientSocket
  private var sleepers: [Sleeper] = []
  private var buffer = [UInt8](repeating: 0, count: 2048)

  init(
    _ server: SocketAddress, from local: SocketAddress?, _ schedule: [Duration], timeout: Duration
  ) throws(NATBehaviour.Unknown) {
    // Several sockets cannot share the user's port.
    var local = local
    local?.port = 0
    let caller = try Self.open(server, local)
    self.caller = caller
    self.local = local
    self.server = server
    self.schedule = schedule
    self.timeout = timeout
  }

  /// Makes the bindings, and checks that the server can reach them.
  mutating func bind(_ generator: inout SeededGenerator) throws(NATBehaviour.Unknown) {
    guard let first = try bindOne(&generator) else { throw .init("the server does not answer any more") }
    guard call(first, &generator) else {
      throw .init("the server does not answer to another port when asked to (no RESPONSE-PORT)")
    }
    for _ in schedule {
      guard let sleeper = try bindOne(&generator) else { throw .init("the server does not answer any more") }
      sleepers.append(sleeper)
    }
  }

  /// Tests one binding at each time of the schedule.
  mutating func run(_ generator: inout SeededGenerator) -> BindingLifetime {
    var trials: [(time: Duration, isAlive: Bool)] = []
    for (time, sleeper) in zip(schedule, sleepers) {
      Readiness.sleep(until: sleeper.began.advanced(by: time))
      trials.append((time, call(sleeper, &generator)))
    }
    return BindingLifetime(trials: trials)
  }

  private static func open(
    _ server: SocketAddress, _ local: SocketAddress?
  ) throws(NATBehaviour.Unknown) -> ClientSocket {
    do {
      let route = try ClientSocket.udp(to: server, from: local)
      let own = route.localAddress ?? SocketAddress(.ipv4Any, port: 0)
      return try ClientSocket.udp(boundTo: SocketAddress(own.address, port: 0, scope: own.scope))
    } catch {
      throw .init("no socket: \(error)")
    }
  }

  private mutating func bindOne(_ generator: inout SeededGenerator) throws(NATBehaviour.Unknown) -> Sleeper? {
    let socket = try Self.open(server, local)
    var settings = Retransmission.Settings()
    settings.initialTimeout = .milliseconds(250)
    settings.limit = timeout
    var probe = BindingProbe(isStream: false, settings: settings, generator: &generator, now: .read())
    var source = SocketAddress.none
    var sent = Instant.read()
    while let deadline = probe.deadline {
      if let bytes = probe.takeOutput() {
        _ = try? socket.send(bytes.span.rawBytes, to: server)
        sent = .read()
      }
      if let count = NATCheck.receive(socket, &buffer, &source, until: deadline) {
        probe.receive(buffer.span.rawBytes.extracting(0..<count), now: .read())
      }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    guard case .success(let response)? = probe.outcome else { return nil }
    return Sleeper(socket, response.mappedAddress.port, sent)
  }

  /// Makes the server answer one socket's request to another socket; returns whether the answer arrived there.
  private mutating func call(_ sleeper: Sleeper, _ generator: inout SeededGenerator) -> Bool {
    var settings = Retransmission.Settings()
    settings.initialTimeout = .milliseconds(250)
    settings.limit = min(timeout, .seconds(1))
    var probe = BindingProbe(
      isStream: false, detour: .init(responsePort: sleeper.mappedPort), settings: settings, generator: &generator,
      now: .read())
    var source = SocketAddress.none
    while let deadline = probe.deadline {
      if let bytes = probe.takeOutput() { _ = try? caller.send(bytes.span.rawBytes, to: server) }
      if let count = NATCheck.receive(sleeper.socket, &buffer, &source, until: deadline) {
        probe.receive(buffer.span.rawBytes.extracting(0..<count), now: .read())
      }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    if case .success? = probe.outcome { return true }
    return false
  }
}
