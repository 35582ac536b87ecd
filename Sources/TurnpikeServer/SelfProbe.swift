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

/// The user of the server's own allocations. The credential is made at each start, is only in memory, and is the same
/// for all realms.
final class ProbeUser: Sendable {
  let name: String
  let password: String
  /// The address of the present probe's client, because an anonymous client sends no name.
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
/// The sockets and the messages are those of any client. Anyone may request `/readyz`, so an outcome is kept for a
/// second: requests cost at most one allocation a second.
final class SelfProbe: Sendable {
  /// The longest time of a probe.
  private static let timeout = Duration.seconds(2)
  private static let outcomeLifetime = Duration.seconds(1)

  private enum Verdict {
    /// The data has come back; or the answer is 300 or 486, which a working server sends by its configuration.
    case works
    /// The server answers, and refuses the allocation.
    case refuses(String)
    /// No answer, or no data.
    case fails(String)

    var problem: String? {
      switch self {
      case .works: nil
      case .refuses(let problem), .fails(let problem): problem
      }
    }
  }

  private struct Outcome {
    var time: Instant
    var verdict: Verdict
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
  /// - Returns: the problem as text; nil if the path works.
  func run() -> String? { verdict().problem }

  /// The failure that a restart may cure; nil if the server answers: a full or draining server needs no restart. Waits
  /// for two seconds at most.
  func failure() -> String? {
    if case .fails(let problem) = verdict() { return problem }
    return nil
  }

  /// The address of the probe's client.
  var client: IPAddress { target.address.address }

  private func verdict() -> Verdict {
    let now = Instant.read()
    if let outcome = last.withLock({ $0 }), now < outcome.time.advanced(by: Self.outcomeLifetime) {
      return outcome.verdict
    }
    let verdict = relay(until: now.advanced(by: Self.timeout))
    last.withLock { $0 = Outcome(time: .read(), verdict: verdict) }
    return verdict
  }

  private func relay(until deadline: Instant) -> Verdict {
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
      let verdict = Self.exercise(&session, until: deadline)
      if session.client.grant != nil { _ = try? session.delete() }
      session.close()
      return verdict
    } catch {
      return .fails("no connection to the listener \(target.address) over \(target.transport): \(error)")
    }
  }

  private static func exercise(_ session: inout AllocationSession, until deadline: Instant) -> Verdict {
    do throws(AllocationSession.Failure) {
      try session.allocate()
      guard let relayed = session.client.grant?.relayedAddresses.first else {
        return .fails("the answer to Allocate has no relayed address")
      }
      try session.createPermission([relayed])
      let data = SecureRandom.bytes(16)
      try session.send(data, to: relayed, asIndication: true, until: deadline)
      guard let datagram = try session.receiveData(until: deadline) else {
        return .fails("data sent to the own relayed address \(relayed) did not come back")
      }
      guard datagram.data == data, datagram.peer == relayed else {
        return .fails("the data that came back is not the data that was sent")
      }
      return .works
    } catch {
      return explain(error)
    }
  }

  private static func explain(_ failure: AllocationSession.Failure) -> Verdict {
    switch failure {
    case .request(.refused(.tryAlternate, _, _, _)), .request(.refused(.allocationQuotaReached, _, _, _)): .works
    case .request(.refused(let code, let phrase, _, _)):
      .refuses("an allocation of the server's own is refused: \(code.rawValue) \(phrase)")
    case .request(.timeout): .fails("an allocation of the server's own gets no answer")
    case .request(let other): .fails("an allocation of the server's own fails: \(other)")
    case .connection(let other): .fails("an allocation of the server's own fails: \(other)")
    case .outOfOrder: .fails("an allocation of the server's own fails")
    }
  }
}
