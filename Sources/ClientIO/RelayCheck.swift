public import Crypto
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// Does with a TURN server what a call would do: allocates, permits a peer, sends data there and back in both
/// framings, refreshes and deletes, and times each step.
public struct RelayCheck: ~Copyable {
  private let target: ServerTarget
  private let options: CheckOptions
  private var report: RelayReport
  private var random: SeededGenerator
  private let count: Int
  private let interval: UInt32
  private let stop: () -> Bool

  /// Runs the whole check. With a count above one so many numbered packets go through the channel too, `interval`
  /// milliseconds apart, until `stop` says so.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int = 1, interval: UInt32 = 1000,
    generator: consuming SeededGenerator, stop: @escaping () -> Bool = { false }
  ) -> RelayReport {
    var check = RelayCheck(
      target: target, options: options, report: RelayReport(target: target), random: generator, count: count,
      interval: interval, stop: stop)
    check.run()
    return check.report
  }

  private mutating func run() {
    let begin = Instant.read()
    let connection: ClientConnection
    do {
      connection = try ClientConnection(
        options.connection(to: target), until: begin.advanced(byMilliseconds: options.timeout))
    } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      let isTLS = if case .tls = error { true } else { error == .timeout(.handshake) }
      note(
        isTLS ? .tls : .connect, Instant.read().nanoseconds(since: begin),
        CheckFailure(error, target, within: options.within))
      return
    }
    report.localAddress = connection.localAddress
    report.tls = connection.tlsSummary
    if target.transport.isStream { note(.connect, connection.connectDuration) }
    if target.transport.isSecure { note(.tls, connection.handshakeDuration) }
    var session = AllocationSession(
      connection, settings: options.allocation(for: target), generator: SeededGenerator(seed: seed()))
    guard perform(.allocate, "Allocate", { () throws(AllocationSession.Failure) in try session.allocate() }) else {
      report.realm = session.client.realm.isEmpty ? nil : session.client.realm
      return
    }
    report.grant = session.client.grant
    report.realm = session.client.realm.isEmpty ? nil : session.client.realm
    report.usesSHA256 = session.client.usesSHA256
    if let relayed = report.grant?.relayedAddresses.first { exercise(&session, relayed) }
    if report.verdict == nil {
      _ = perform(.refresh, "Refresh") { () throws(AllocationSession.Failure) in try session.refresh() }
    }
    // Whatever went wrong before: what was taken is given back.
    _ = perform(.delete, "Refresh with lifetime 0") { () throws(AllocationSession.Failure) in try session.delete() }
    session.close()
  }

  // MARK: - The two kinds of peer

  /// With a plain socket first; where the server forbids that peer, or nothing comes through, with a second
  /// allocation.
  private mutating func exercise(_ session: inout AllocationSession, _ relayed: SocketAddress) {
    let before = report.steps.count
    let begin = Instant.read()
    if var peer = SocketPeer(reaching: relayed, server: bindingServer, generator: &random) {
      note(.peer, Instant.read().nanoseconds(since: begin))
      report.peerKind = .socket
      report.peerAddress = peer.address
      exercise(&session, relayed, &peer)
      guard let failure = report.verdict else { return }
      switch failure.reason {
      case .forbidden:
        report.notes.append("\(peer.address) is forbidden as a peer (403): a second allocation is the peer")
      case .echoLost:
        retry(&session, relayed, after: before, failure, peer.address)
        return
      default: return
      }
      report.steps.removeSubrange(before...)
    }
    exerciseWithAllocation(&session, relayed)
  }

  /// Nothing came through with a plain peer: with a second allocation it may. Where it does not either, the first
  /// failure is the one that tells more.
  private mutating func retry(
    _ session: inout AllocationSession, _ relayed: SocketAddress, after before: Int, _ failure: CheckFailure,
    _ peer: SocketAddress
  ) {
    let first = report
    report.steps.removeSubrange(before...)
    report.notes.append(
      "nothing came through to or from \(peer) (a NAT or firewall, or the server relays to its own host "
        + "between allocations only): a second allocation is the peer")
    exerciseWithAllocation(&session, relayed)
    guard let second = report.verdict else { return }
    report = first
    report.notes.append("with a second allocation as the peer: \(second.message)")
  }

  private mutating func exerciseWithAllocation(_ session: inout AllocationSession, _ relayed: SocketAddress) {
    let begin = Instant.read()
    do {
      var peer = try AllocationPeer(target, options, generator: SeededGenerator(seed: seed()))
      do throws(AllocationSession.Failure) {
        try peer.permit(relayed)
        note(.peer, Instant.read().nanoseconds(since: begin))
        report.peerKind = .allocation
        report.peerAddress = peer.address
        exercise(&session, relayed, &peer)
      } catch {
        let what = "CreatePermission for \(relayed) of the second allocation"
        note(.peer, Instant.read().nanoseconds(since: begin), failure(error, what, isAboutPeer: true))
      }
      // Whatever went wrong: what was taken is given back.
      peer.delete()
    } catch {
      note(.peer, Instant.read().nanoseconds(since: begin), failure(error, "The second allocation"))
    }
  }

  private mutating func exercise(
    _ session: inout AllocationSession, _ relayed: SocketAddress, _ peer: inout some RelayPeer & ~Copyable
  ) {
    let address = peer.address
    guard
      perform(
        .permission, "CreatePermission for \(address)",
        { () throws(AllocationSession.Failure) in try session.createPermission([address]) }),
      echo(.sendEcho, &session, relayed, &peer),
      perform(
        .channelBind, "ChannelBind to \(address)",
        { () throws(AllocationSession.Failure) in try session.bindChannel(to: address) })
    else { return }
    guard echo(.channelEcho, &session, relayed, &peer), count > 1 else { return }
    let begin = Instant.read()
    let outcome = EchoSeries.run(
      &session, &peer, count: count, interval: interval, timeout: options.timeout, tag: random.next(), stop: stop)
    let series = outcome.series
    report.series = series
    let duration = Instant.read().nanoseconds(since: begin)
    if let error = outcome.failure {
      note(.series, duration, failure(error, "data"))
    } else if series.received == 0, series.sent > 0 {
      note(
        .series, duration,
        CheckFailure(
          .echoLost, "none of \(series.sent) packets of media's size came back through the relay",
          advice: "single packets came through: larger or more frequent ones are dropped on the way, or limited"))
    }
  }

  /// The STUN server that tells a plain peer how it looks from outside: the one that is checked, over UDP.
  private var bindingServer: SocketAddress? {
    switch target.transport {
    case .udp, .tcp: target.address
    case .tls, .dtls:
      SocketAddress(
        target.address.address, port: TransportProtocol.udp.defaultPort, scope: target.address.scope)
    }
  }

  // MARK: - Steps

  private mutating func perform(
    _ name: RelayReport.Name, _ what: String,
    _ body: () throws(AllocationSession.Failure) -> ClientAllocation.Event
  ) -> Bool {
    let begin = Instant.read()
    do {
      let event = try body()
      note(name, event.duration, attempts: event.transmissions - event.roundTrips + 1)
      return true
    } catch {
      let isAboutPeer = name == .permission || name == .channelBind
      note(name, Instant.read().nanoseconds(since: begin), failure(error, what, isAboutPeer: isAboutPeer))
      return false
    }
  }

  /// How often data is sent before it counts as lost, and how long each is waited for, in milliseconds.
  ///
  /// A server may well refuse to relay to other ports of its own host: there a plain peer is given up sooner, since a
  /// second allocation follows.
  private static func patience(_ relayed: SocketAddress, _ peer: SocketAddress, _ kind: RelayReport.PeerKind?)
    -> (attempts: Int, wait: UInt32)
  {
    kind == .socket && relayed.address == peer.address ? (2, 250) : (4, 500)
  }

  /// Sends to the peer and has it send back; both must arrive unchanged, and in the framing that is checked.
  private mutating func echo(
    _ name: RelayReport.Name, _ session: inout AllocationSession, _ relayed: SocketAddress,
    _ peer: inout some RelayPeer & ~Copyable
  ) -> Bool {
    let begin = Instant.read()
    let there = payload("ping")
    let back = payload("pong")
    let isChannel = name == .channelEcho
    let patience = Self.patience(relayed, peer.address, report.peerKind)
    var hasArrived = false
    do {
      for attempt in 1...patience.attempts {
        let end = Instant.read().advanced(byMilliseconds: min(patience.wait, options.timeout))
        try session.send(there, to: peer.address, asIndication: !isChannel, until: end)
        while let (data, sender) = try peer.receive(until: end) {
          guard data == there else {
            if Instant.read() < end { continue } else { break }
          }
          hasArrived = true
          if sender != relayed {
            noteOnce("data reaches the peer from \(sender), not from the relayed address \(relayed)")
          }
          try peer.send(back, to: sender)
          break
        }
        while hasArrived, let datagram = try session.receiveData(until: end) {
          guard datagram.data == back else {
            if Instant.read() < end { continue } else { break }
          }
          if datagram.isChannelData != isChannel {
            noteOnce(
              isChannel
                ? "data came in a Data indication although a channel is bound"
                : "data came as ChannelData before a channel was bound")
          }
          note(name, Instant.read().nanoseconds(since: begin), attempts: attempt)
          return true
        }
      }
    } catch {
      note(name, Instant.read().nanoseconds(since: begin), failure(error, "data"))
      return false
    }
    note(
      name, Instant.read().nanoseconds(since: begin),
      CheckFailure(
        .echoLost,
        hasArrived
          ? "data reached the peer \(peer.address) through the relay, but nothing came back"
          : "no data reached the peer \(peer.address) through the relay \(relayed)",
        advice: hasArrived
          ? "the relay's ports are not open in the server's firewall, or its advertised address is not its own"
          : "the server's firewall lets nothing out to peers, or one before this machine drops it"),
      attempts: patience.attempts)
    return false
  }

  private mutating func note(
    _ name: RelayReport.Name, _ duration: UInt64, _ failure: CheckFailure? = nil, attempts: Int = 1
  ) {
    report.steps.append(RelayReport.Step(name: name, duration: duration, failure: failure, attempts: attempts))
  }

  private mutating func noteOnce(_ text: String) {
    if !report.notes.contains(text) { report.notes.append(text) }
  }

  private func failure(
    _ error: AllocationSession.Failure, _ what: String, isAboutPeer: Bool = false
  ) -> CheckFailure {
    switch error {
    case .connection(let failure): CheckFailure(failure, target, within: options.within)
    case .request(let failure):
      CheckFailure(failure, what, target, options, isAboutPeer: isAboutPeer)
    case .outOfOrder:
      CheckFailure(
        .closed, "\(what): the allocation is gone", advice: "the server has ended it, or was started anew")
    }
  }

  private mutating func seed() -> [UInt8] {
    (0..<4).flatMap { _ in
      let word = random.next()
      return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }
  }

  /// Bytes that no STUN message and no other check begins with.
  private mutating func payload(_ word: String) -> [UInt8] { Array("stunclient \(word) ".utf8) + seed() }
}
