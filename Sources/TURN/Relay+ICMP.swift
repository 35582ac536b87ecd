public import NetworkTypes
internal import STUN

/// ICMP messages about what an allocation has sent (RFC 8656 section 11.5).
extension Relay {
  /// Answers a second to one allocation: whoever provokes more learns nothing more from them.
  private static let icmpLimit = BandwidthLimit(bytesPerSecond: 10)

  /// An ICMP message about a datagram to `peer` that left by the relay port. The client is told in a Data indication
  /// if it has a permission for that address: who sent the message does not matter.
  ///
  /// - Parameter mtu: of the next link, where the message is about that; 0 otherwise.
  public mutating func receiveICMP(
    type: UInt8, code: UInt8, mtu: UInt32, about peer: SocketAddress, on id: RecordID, now: Now
  ) {
    guard let portIndex = relayPorts.index(of: id), relayPorts[portIndex].allocation != .max else { return }
    let allocation = Int(relayPorts[portIndex].allocation)
    guard allocations[allocation].expiresAt > now.instant, Self.isRelayed(type, peer.family) else { return }
    var known = peer
    // The client knows a relay of ours by the address that we advertise.
    if let advertised = relayed.advertised(for: peer.address) { known.address = advertised }
    if permission(for: known.address, on: allocation, now: now) == nil {
      known = peer
      guard permission(for: peer.address, on: allocation, now: now) != nil else { return }
    }
    guard allocations[allocation].icmpBucket.take(1, Self.icmpLimit, now: now.instant) else { return }
    writer.begin(MessageType(.data, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: known)
    writer.append(icmpType: type, code: code, errorData: mtu)
    commands.append(.reply(allocations[allocation].client, writer.bytes.copied()))
  }

  /// Destination unreachable and time exceeded; for IPv6 packet too big as well.
  private static func isRelayed(_ type: UInt8, _ family: IPAddress.Family) -> Bool {
    switch family {
    case .ipv4: type == 3 || type == 11
    case .ipv6: (1...3).contains(type)
    }
  }
}
