internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// Data to the peer and back.
extension RelayCheck {
  /// The number of attempts before data counts as lost, and the wait for each.
  ///
  /// A server may refuse to relay to its own host. There a plain peer is given up sooner, because a second allocation
  /// follows.
  private static func limits(_ relayed: SocketAddress, _ peer: SocketAddress, _ kind: RelayReport.PeerKind?)
    -> (attempts: Int, wait: Duration)
  {
    kind == .socket && relayed.address == peer.address ? (2, .milliseconds(250)) : (4, .milliseconds(500))
  }

  /// Sends data to the peer, which sends it back; both must arrive unchanged, and in the tested framing.
  mutating func echo(
    _ name: RelayReport.Name, _ session: inout AllocationSession, _ relayed: SocketAddress,
    _ peer: inout some RelayPeer & ~Copyable
  ) -> Bool {
    let begin = Instant.read()
    let there = payload("ping")
    let back = payload("pong")
    let isChannel = name == .channelEcho
    let limits = Self.limits(relayed, peer.address, report.peerKind)
    var hasArrived = false
    do {
      for attempt in 1...limits.attempts {
        let end = Instant.read().advanced(by: min(limits.wait, options.timeout))
        try session.send(there, to: peer.address, asIndication: !isChannel, until: end)
        if try turnAround(there, back, at: &peer, relayed, until: end) { hasArrived = true }
        if hasArrived, try receive(back, from: &session, isChannel, until: end) {
          record(name, Instant.read().duration(since: begin), attempts: attempt)
          return true
        }
      }
    } catch {
      record(name, Instant.read().duration(since: begin), failure(error, "data"))
      return false
    }
    record(
      name, Instant.read().duration(since: begin),
      Self.lost(at: peer.address, through: relayed, hasArrived: hasArrived), attempts: limits.attempts)
    return false
  }

  /// Receives `there` at the peer and answers with `back`; false if `there` does not arrive in time.
  private mutating func turnAround(
    _ there: [UInt8], _ back: [UInt8], at peer: inout some RelayPeer & ~Copyable, _ relayed: SocketAddress,
    until end: Instant
  ) throws(AllocationSession.Failure) -> Bool {
    while let (data, sender) = try peer.receive(until: end) {
      guard data == there else {
        if Instant.read() < end { continue } else { return false }
      }
      if sender != relayed {
        addNote("data reaches the peer from \(sender), not from the relayed address \(relayed)")
      }
      try peer.send(back, to: sender)
      return true
    }
    return false
  }

  /// Whether `back` arrives through the relay in time. A framing other than the tested one is a note.
  private mutating func receive(
    _ back: [UInt8], from session: inout AllocationSession, _ isChannel: Bool, until end: Instant
  ) throws(AllocationSession.Failure) -> Bool {
    while let datagram = try session.receiveData(until: end) {
      guard datagram.data == back else {
        if Instant.read() < end { continue } else { return false }
      }
      if datagram.isChannelData != isChannel {
        addNote(
          isChannel
            ? "data came in a Data indication although a channel is bound"
            : "data came as ChannelData before a channel was bound")
      }
      return true
    }
    return false
  }

  private static func lost(
    at peer: SocketAddress, through relayed: SocketAddress, hasArrived: Bool
  ) -> CheckFailure {
    hasArrived
      ? CheckFailure(
        .echoLost, "data reached the peer \(peer) through the relay, but nothing came back",
        advice: "the relay's ports are not open in the server's firewall, or its advertised address is wrong")
      : CheckFailure(
        .echoLost, "no data reached the peer \(peer) through the relay \(relayed)",
        advice: "the server's firewall blocks packets to peers, or a firewall before this machine drops them")
  }
}
