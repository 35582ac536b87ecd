internal import Admin
internal import ClientIO
internal import Configuration
internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Synchronization
internal import System
internal import TURN
internal import TURNClient

/// The user of the server's own allocations. The credential is made at each start, kept in memory only, and the same
/// for all realms.
final class ProbeUser: Sendable {
  let name: String
  let password: String
  /// The client's address of the present probe: an anonymous client sends no name.
  let address = Mutex<SocketAddress?>(nil)

  init() {
    name = "readyz-" + Hexadecimal.text(SecureRandom.bytes(8))
    password = Hexadecimal.text(SecureRandom.bytes(32))
  }

  func owns(_ allocation: AllocationSummary) -> Bool {
    allocation.username.elementsEqual(name.utf8) || address.withLock { $0 } == allocation.client
  }
}

/// Proves the relay path with a small allocation of the server's own: a client allocates at a listener, with
/// credentials, and sends a datagram to its own relayed transport address, which must come back as data.
///
/// The sockets and the messages are those of any client. Anyone may ask for `/readyz`, so an outcome is kept for a
/// second: questions cost one allocation a second at most.
final class SelfProbe: Sendable {
  /// The longest time of a probe.
  private static let timeout = Duration.seconds(2)
  private static let outcomeLifetime = Duration.seconds(1)

  private struct Outcome {
    var time: Instant
    /// Nil: the data has come back.
    var problem: String?
  }

  private let target: ServerTarget
  private let user: ProbeUser
  private let last = Mutex<Outcome?>(nil)

  /// - Returns: nil if no listener takes plain UDP or TCP: TLS would need a certificate that the client accepts.
  init?(_ listeners: [ListenerPlan], user: ProbeUser) {
    guard let target = Self.target(listeners) else { return nil }
    self.target = target
    self.user = user
  }

  private static func target(_ listeners: [ListenerPlan]) -> ServerTarget? {
    for isStream in [false, true] {
      let found = listeners.first {
        $0.transport.isStream == isStream && (!$0.transport.isSecure || $0.auto) && !$0.isProxied
      }
      guard let found else { continue }
      var address = found.address
      if address.address.isUnspecified {
        address = SocketAddress(address.family == .ipv4 ? .ipv4Loopback : .ipv6Loopback, port: address.port)
      }
      let transport: TransportProtocol = isStream ? .tcp : .udp
      let uri = ServerURI(
        scheme: .turn, host: .address(address.address), port: address.port, transportParameter: isStream ? .tcp : nil)
      return ServerTarget(uri: uri, transport: transport, address: address)
    }
    return nil
  }

  /// Waits for two seconds at most.
  ///
  /// - Returns: what is wrong, in words; nil if the path works.
  func run() -> String? {
    let now = Instant.read()
    if let outcome = last.withLock({ $0 }), now < outcome.time.advanced(by: Self.outcomeLifetime) {
      return outcome.problem
    }
    let problem = relay(until: now.advanced(by: Self.timeout))
    last.withLock { $0 = Outcome(time: .read(), problem: problem) }
    return problem
  }

  private func relay(until deadline: Instant) -> String? {
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: user.name, password: user.password)
    settings.refreshesAutomatically = false
    settings.retransmission.initialTimeout = .milliseconds(100)
    settings.retransmission.limit = Self.timeout
    do throws(ConnectionFailure) {
      let connection = try ClientConnection(.init(transport: target.transport, remote: target.address), until: deadline)
      user.address.withLock { $0 = connection.localAddress }
      defer { user.address.withLock { $0 = nil } }
      var session = AllocationSession(
        connection, settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
      let problem = Self.exercise(&session, until: deadline)
      if session.client.grant != nil { _ = try? session.delete() }
      session.close()
      return problem
    } catch {
      return "no connection to the listener \(target.address) over \(target.transport): \(error)"
    }
  }

  private static func exercise(_ session: inout AllocationSession, until deadline: Instant) -> String? {
    do throws(AllocationSession.Failure) {
      try session.allocate()
      guard let relayed = session.client.grant?.relayedAddresses.first else { return "Allocate has no relayed address" }
      try session.createPermission([relayed])
      let data = SecureRandom.bytes(16)
      try session.send(data, to: relayed, asIndication: true, until: deadline)
      guard let datagram = try session.receiveData(until: deadline) else {
        return "data sent to the own relayed address \(relayed) did not come back"
      }
      guard datagram.data == data, datagram.peer == relayed else { return "other data came back than was sent" }
      return nil
    } catch {
      return explain(error)
    }
  }

  /// Why a step failed; nil for answers of a server that works and has been told not to allocate here.
  private static func explain(_ failure: AllocationSession.Failure) -> String? {
    switch failure {
    case .request(.refused(.tryAlternate, _, _, _)), .request(.refused(.allocationQuotaReached, _, _, _)): nil
    case .request(.refused(let code, let phrase, _, _)):
      "an allocation of the server's own is refused: \(code.rawValue) \(phrase)"
    case .request(.timeout): "an allocation of the server's own gets no answer"
    case .request(let other): "an allocation of the server's own fails: \(other)"
    case .connection(let other): "an allocation of the server's own fails: \(other)"
    case .outOfOrder: "an allocation of the server's own fails"
    }
  }
}
