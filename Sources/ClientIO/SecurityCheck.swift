internal import System
public import Crypto
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TURNClient

/// Tries requests that a relay must refuse, on the user's own server, and records those that it accepts. No packet goes
/// to the forbidden addresses, unless the server relays to them.
public struct SecurityCheck: ~Copyable {
  let target: ServerTarget
  let options: CheckOptions
  var report: SecurityReport
  var random: SeededGenerator
  /// The channel number of the next ChannelBind.
  var nextChannel: UInt32 = 0x4FFF

  /// Runs every check that applies to the server.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, generator: consuming SeededGenerator
  ) -> SecurityReport {
    // Several sessions are open at the same time and cannot share a port.
    var options = options
    options.local?.port = 0
    var check = SecurityCheck(
      target: target, options: options, report: SecurityReport(target: target), random: generator)
    check.run()
    check.report.failure?.lookAround(target, options, &check.random)
    return check.report
  }

  private mutating func run() {
    anonymous()
    guard report.failure == nil else { return }
    wrongPassword()
    for family in [IPAddress.Family.ipv4, .ipv6] {
      peers(family)
      guard report.failure == nil else { return }
    }
    replay()
    strangers()
    tcpPeer()
  }

  // MARK: - Sessions

  /// A session without an allocation yet.
  func session(
    _ credential: LongTermCredential?, _ family: IPAddress.Family? = nil, transport: RelayTransport = .udp,
    seed: UInt64
  ) throws(AllocationSession.Failure) -> AllocationSession {
    var settings = options.allocation(for: target)
    settings.credential = credential
    settings.addressFamily = family
    settings.relayTransport = transport
    return try AllocationSession(
      target, options, settings: settings, generator: SeededGenerator(seed: Self.bytes(seed)))
  }

  static func bytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }

  mutating func record(_ check: String, _ subject: String, _ verdict: SecurityReport.Verdict, _ detail: String) {
    report.findings.append(SecurityReport.Finding(check, subject, verdict, detail))
  }

  func failure(_ error: AllocationSession.Failure, _ what: String) -> CheckFailure {
    switch error {
    case .connection(let failure): CheckFailure(failure, target, within: options.within)
    case .request(let failure):
      CheckFailure(failure, what, target, options)
    case .outOfOrder:
      CheckFailure(
        .closed, "\(what): the allocation is gone", advice: "the server ended it, or was restarted")
    }
  }

  // MARK: - Permission to allocate

  /// Sends Allocate without credentials, which the server must refuse. After any answer the other checks follow.
  private mutating func anonymous() {
    let subject = "Allocate without credentials"
    do {
      var session = try session(nil, seed: random.next())
      do {
        try session.allocate()
        record("anonymous", subject, .letThrough, "every client gets a relay")
        _ = try? session.delete()
      } catch {
        switch error {
        case .request(.credentialsNeeded): record("anonymous", subject, .refused, "401")
        case .request(.refused(let code, _, _, _)):
          // If the server answers every Allocate with 400, the valid Allocate that follows fails too.
          let answer = CustomAnswer.refused(code)
          record("anonymous", subject, answer.verdict(ifRefusedWith: [400, 403]), answer.words)
        case .request(.malformed(let complaint)):
          record("anonymous", subject, .unknown, "Allocate: \(complaint)")
        default: report.failure = failure(error, "Allocate")
        }
      }
      session.close()
    } catch {
      report.failure = failure(error, "the connection")
    }
  }

  private mutating func wrongPassword() {
    guard let credential = options.credential, credential.accessToken == nil else { return }
    var wrong = credential
    wrong.password += [UInt8(ascii: "x")]
    do {
      var session = try session(wrong, seed: random.next())
      do {
        try session.allocate()
        record("wrong-password", "Allocate with another password", .letThrough, "passwords are not checked")
        _ = try? session.delete()
      } catch {
        switch error {
        case .request(.wrongCredentials):
          record("wrong-password", "Allocate with another password", .refused, "401")
        case .request(.refused(.badRequest, _, _, _)):
          // pion answers 400 in place of RFC 8489's 401. Only the password differs from the valid Allocate that
          // follows.
          record("wrong-password", "Allocate with another password", .refused, "400")
        default:
          record("wrong-password", "Allocate with another password", .unknown, failure(error, "Allocate").message)
        }
      }
      session.close()
    } catch {
      record("wrong-password", "Allocate with another password", .unknown, failure(error, "the connection").message)
    }
  }

  // MARK: - Peers

  private mutating func peers(_ family: IPAddress.Family) {
    do {
      var session = try session(options.credential, family, seed: random.next())
      do {
        try session.allocate()
      } catch {
        switch error {
        case .request(.refused(let code, _, _, _)) where family == .ipv6:
          // Any other error may be temporary, so it does not prove that the server has no IPv6 relays.
          let hasNone = code == .addressFamilyNotSupported || code == .badRequest || code == .unknownAttribute
          record(
            "peer", "IPv6 peers", hasNone ? .notApplicable : .unknown,
            hasNone ? "the server has no IPv6 relays" : "Allocate: \(code.rawValue) \(code.reason)")
        case .request(.malformed(let complaint)) where family == .ipv6:
          // A server that does not know REQUESTED-ADDRESS-FAMILY should answer 420; pion's server relays IPv4 instead.
          record("peer", "IPv6 peers", .unknown, "Allocate: \(complaint)")
        default:
          report.failure = failure(error, "Allocate")
        }
        session.close()
        return
      }
      let relayed = session.client.grant?.relayedAddresses.first ?? .none
      for peer in ForbiddenPeer.all(family) { try tryPeer(peer, family, &session, relayed) }
      if family == target.address.family, target.transport == .udp { try ownListener(&session) }
      if family == .ipv4 {
        let trouble = try tamper(&session)
        try otherUser(&session, relayed, trouble)
      }
      _ = try? session.delete()
      session.close()
    } catch {
      report.failure = failure(error, "the checks")
    }
  }

  /// Requests a permission. If the allocation is full, a new one replaces it, if the server allows two.
  private mutating func permit(
    _ peer: SocketAddress, _ family: IPAddress.Family, _ session: inout AllocationSession
  ) throws(AllocationSession.Failure) -> CustomAnswer {
    let answer = try session.tryRequest(.createPermission) { $0.append(.xorPeerAddress, xor: peer) }
    guard answer == .refused(.insufficientCapacity),
      var fresh = try? self.session(options.credential, family, seed: random.next()),
      (try? fresh.allocate()) != nil
    else { return answer }
    _ = try? session.delete()
    session.close()
    session = fresh
    return try session.tryRequest(.createPermission) { $0.append(.xorPeerAddress, xor: peer) }
  }

  private mutating func tryPeer(
    _ peer: ForbiddenPeer, _ family: IPAddress.Family, _ session: inout AllocationSession, _ relayed: SocketAddress
  ) throws(AllocationSession.Failure) {
    let address = SocketAddress(peer.address, port: 9)
    let subject = "\(peer.address) (\(peer.what))"
    let permission = try permit(address, family, &session)
    // Each peer gets its own channel: a number that is bound to another peer gets 400, which would look like a refusal
    // of this peer.
    let number = nextChannel
    nextChannel -= 1
    let channel = try session.tryRequest(.channelBind) {
      $0.append(.channelNumber, number << 16)
      $0.append(.xorPeerAddress, xor: address)
    }
    let isPermitted = if case .success = permission { true } else { false }
    let isBound = if case .success = channel { true } else { false }
    guard isPermitted || isBound else {
      let verdicts = [permission, channel].map { $0.verdict(ifRefusedWith: CustomAnswer.peerRefusals) }
      guard let open = verdicts.firstIndex(of: .unknown) else {
        return record("peer", subject, .refused, "CreatePermission: \(permission.words)")
      }
      return record(
        "peer", subject, .unknown,
        open == 0 ? "CreatePermission: \(permission.words)" : "ChannelBind: \(channel.words)")
    }
    let how = isPermitted ? "CreatePermission succeeds" : "ChannelBind succeeds"
    // On the server's own host this check tests whether data arrives. A permission alone proves nothing there, because
    // the server's own relays stay reachable.
    if target.address.address.isLoopback, peer.address.canonical.isLoopback,
      let arrived = try dataArrives(at: peer.address, &session)
    {
      record(
        "peer", subject, arrived ? .letThrough : .refused,
        how + (arrived ? ", and data arrives" : ", but no data arrives"))
    } else if peer.address == relayed.address {
      record("peer", subject, .notApplicable, how + ", as it must for the server's own relays")
    } else {
      record("peer", subject, .letThrough, how)
    }
  }

  /// Whether data through the relay reaches our socket on this address; nil if we cannot bind it.
  private mutating func dataArrives(
    at address: IPAddress, _ session: inout AllocationSession
  ) throws(AllocationSession.Failure) -> Bool? {
    guard let socket = try? ClientSocket.udp(boundTo: SocketAddress(address.canonical, port: 0)),
      let port = socket.localAddress?.port
    else { return nil }
    let packet = Array("stunclient security \(random.next())".utf8)
    var buffer = [UInt8](repeating: 0, count: 2048)
    for _ in 1...2 {
      let end = Instant.read().advanced(by: .milliseconds(200))
      try session.send(packet, to: SocketAddress(address, port: port), asIndication: true, until: end)
      var source = SocketAddress.none
      while let count = NATCheck.receive(socket, &buffer, &source, until: end) {
        if buffer.prefix(count).elementsEqual(packet) { return true }
        if Instant.read() >= end { break }
      }
    }
    return false
  }

  /// A Binding request through the relay to the server's own port must not be answered.
  private mutating func ownListener(_ session: inout AllocationSession) throws(AllocationSession.Failure) {
    let subject = "\(target.address) through the relay"
    let permission = try permit(target.address, target.address.family, &session)
    guard case .success = permission else {
      record(
        "own-listener", subject, permission.verdict(ifRefusedWith: CustomAnswer.peerRefusals),
        "CreatePermission: \(permission.words)")
      return
    }
    var settings = Retransmission.Settings()
    settings.initialTimeout = .milliseconds(150)
    settings.limit = .milliseconds(700)
    var probe = BindingProbe(isStream: false, settings: settings, generator: &random, now: .read())
    while let deadline = probe.deadline {
      if let request = probe.takeOutput() {
        try session.send(request, to: target.address, asIndication: true, until: deadline)
      }
      if let datagram = try session.receiveData(until: deadline), target.isSource(datagram.peer) {
        probe.receive(datagram.data.span.rawBytes, now: .read())
      }
      // The timers run after every datagram: a flood of other datagrams must not delay them.
      probe.advance(to: .read())
    }
    if case .failure(.timeout)? = probe.outcome {
      record("own-listener", subject, .refused, "a permission, but no data comes back")
    } else {
      record("own-listener", subject, .letThrough, "the server answers itself through its own relay")
    }
  }
}
