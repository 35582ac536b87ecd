public import NetworkTypes
internal import STUN
public import Tables

/// ICMP errors about an allocation's datagrams (RFC 8656 section 11.5).
extension Relay {
  /// At most this many ICMP indications a second for each allocation.
  private static let icmpLimit = RateLimit(perSecond: 10)

  /// Handles an ICMP error about a datagram from the relay port to `peer`. The client gets it in a Data indication if
  /// it has a permission for the peer's address; the sender of the ICMP message does not matter.
  ///
  /// - Parameter mtu: the next link's MTU in bytes, if the message has it; else 0.
  public mutating func receiveICMP(
    type: UInt8, code: UInt8, mtu: UInt32, about peer: SocketAddress, on handle: Handle<RelayPort>, now: Now
  ) {
    guard let port = relayPorts.slot(of: handle), let allocation = relayPorts[port].allocation,
      allocations[allocation].expiresAt > now.instant, Self.isRelayed(type, peer.family)
    else { return }
    // The client knows a relay of ours by an address that we advertise or advertised.
    let found = relayed.form(of: peer.address) { permission(for: $0, on: allocation, now: now) != nil }
    guard let found else { return }
    let known = PeerAddress(found, port: peer.port)
    guard allocations[allocation].icmpBucket.take(1, Self.icmpLimit, now: now.instant) else {
      recordLimit(.icmp, allocations[allocation].client, now: now)
      return
    }
    writer.begin(MessageType(.data, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: known.transportAddress)
    writer.append(icmpType: type, code: code, errorData: mtu)
    sendWritten(to: allocations[allocation].client)
  }

  /// Destination unreachable and time exceeded; for IPv6 also packet too big.
  private static func isRelayed(_ type: UInt8, _ family: IPAddress.Family) -> Bool {
    switch family {
    case .ipv4: type == 3 || type == 11
    case .ipv6: (1...3).contains(type)
    }
  }
}
