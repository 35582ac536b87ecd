public import Crypto
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// Checks a TURN server with the steps of a call: allocates, permits a peer, sends data there and back in both
/// framings, refreshes and deletes, and times each step.
public struct RelayCheck: ~Copyable {
  let target: ServerTarget
  let options: CheckOptions
  var report: RelayReport
  private var random: SeededGenerator
  private let count: Int
  private let interval: Duration
  private let stop: () -> Bool

  /// Runs the whole check. With a count above one it also sends `count` numbered packets through the channel,
  /// `interval` apart, until `stop` returns true.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, count: Int = 1, interval: Duration = .seconds(1),
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
    do { connection = try options.connect(to: target) } catch {
      if case .tls(_, let summary) = error { report.tls = summary }
      let isTLS = if case .tls = error { true } else { error == .timeout(.handshake) }
      let duration = Instant.read().duration(since: begin)
      var failure = CheckFailure(error, target, within: options.within)
      failure.lookAround(target, options, &random)
      record(isTLS ? .tls : .connect, duration, failure)
      return
    }
    report.localAddress = connection.localAddress
    report.tls = connection.tlsSummary
    if target.transport.isStream { record(.connect, connection.connectDuration) }
    if target.transport.isSecure { record(.tls, connection.handshakeDuration) }
    var session = AllocationSession(
      connection, settings: options.allocation(for: target), generator: SeededGenerator(seed: seed()))
    guard perform(.allocate, "Allocate", { () throws(AllocationSession.Failure) in try session.allocate() }) else {
      report.realm = session.client.realm.isEmpty ? nil : session.client.realm
      return
    }
    report.grant = session.client.grant
    report.realm = session.client.realm.isEmpty ? nil : session.client.realm
    report.usesSHA256 = session.client.usesSHA256
    judgeAddresses()
    if report.verdict == nil, let relayed = report.grant?.relayedAddresses.first {
      exercise(&session, relayed)
      explainLoss()
    }
    if report.verdict == nil {
      _ = perform(.refresh, "Refresh") { () throws(AllocationSession.Failure) in try session.refresh() }
    }
    // Deletes the allocation after a failure too.
    _ = perform(.delete, "Refresh with lifetime 0") { () throws(AllocationSession.Failure) in try session.delete() }
    session.close()
  }

  // MARK: - The two kinds of peer

  /// Uses a plain socket as the peer first; if the server forbids that peer, or no data arrives, a second allocation.
  private mutating func exercise(_ session: inout AllocationSession, _ relayed: SocketAddress) {
    let before = report.steps.count
    let begin = Instant.read()
    if var peer = SocketPeer(reaching: relayed, server: bindingServer, generator: &random) {
      record(.peer, Instant.read().duration(since: begin))
      report.peerKind = .socket
      report.peerAddress = peer.address
      exercise(&session, relayed, &peer)
      guard let failure = report.verdict else { return }
      switch failure.reason {
      case .forbidden:
        // A relay should not reach its own host, so this is no failure.
        if peer.address.address != relayed.address, !peer.address.address.isLoopback {
          report.notes.append(
            "the server does not relay to this machine (403 for \(peer.address)), so a second allocation was the peer"
          )
        }
      case .echoLost:
        retry(&session, relayed, after: before, failure, peer.address)
        return
      default: return
      }
      report.steps.removeSubrange(before...)
    }
    exerciseWithAllocation(&session, relayed)
  }

  /// Tries a second allocation as the peer after no data arrived with a plain one. If this fails too, the first failure
  /// is reported, because it tells more.
  private mutating func retry(
    _ session: inout AllocationSession, _ relayed: SocketAddress, after before: Int, _ failure: CheckFailure,
    _ peer: SocketAddress
  ) {
    let first = report
    report.steps.removeSubrange(before...)
    // On the server's own host this is normal and gets no note.
    if peer.address != relayed.address, !peer.address.isLoopback {
      report.notes.append(
        "this machine (\(peer)) could not be the peer, so a second allocation was: normal behind a NAT or firewall"
      )
    }
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
        record(.peer, Instant.read().duration(since: begin))
        report.peerKind = .allocation
        report.peerAddress = peer.address
        exercise(&session, relayed, &peer)
      } catch {
        let what = "CreatePermission for \(relayed) of the second allocation"
        record(.peer, Instant.read().duration(since: begin), failure(error, what, isAboutPeer: true))
      }
      // Deletes the allocation after a failure too.
      peer.delete()
    } catch {
      record(.peer, Instant.read().duration(since: begin), failure(error, "The second allocation"))
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
    let duration = Instant.read().duration(since: begin)
    if let error = outcome.failure {
      record(.series, duration, failure(error, "data"))
    } else if series.received == 0, series.sent > 0 {
      record(
        .series, duration,
        CheckFailure(
          .echoLost, "none of \(series.sent) packets with the size of media packets came back through the relay",
          advice: "single packets came back: larger or more frequent packets are dropped on the way, or limited"))
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
      record(name, event.duration, attempts: event.transmissions - event.roundTrips + 1)
      return true
    } catch {
      let isAboutPeer = name == .permission || name == .channelBind
      let duration = Instant.read().duration(since: begin)
      var failure = failure(error, what, isAboutPeer: isAboutPeer)
      failure.lookAround(target, options, &random)
      record(name, duration, failure)
      return false
    }
  }

  mutating func record(
    _ name: RelayReport.Name, _ duration: Duration, _ failure: CheckFailure? = nil, attempts: Int = 1
  ) {
    report.steps.append(RelayReport.Step(name: name, duration: duration, failure: failure, attempts: attempts))
  }

  mutating func addNote(_ text: String) {
    if !report.notes.contains(text) { report.notes.append(text) }
  }

  func failure(
    _ error: AllocationSession.Failure, _ what: String, isAboutPeer: Bool = false
  ) -> CheckFailure {
    switch error {
    case .connection(let failure): CheckFailure(failure, target, within: options.within)
    case .request(let failure):
      CheckFailure(failure, what, target, options, isAboutPeer: isAboutPeer)
    case .outOfOrder:
      CheckFailure(
        .closed, "\(what): the allocation is gone", advice: "the server ended it, or was restarted")
    }
  }

  private mutating func seed() -> [UInt8] {
    (0..<4).flatMap { _ in
      let word = random.next()
      return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }
  }

  /// Bytes unlike a STUN message or another check's payload.
  mutating func payload(_ word: String) -> [UInt8] { Array("stunclient \(word) ".utf8) + seed() }
}
