public import NetworkTypes
internal import TURNClient

/// Checks whether other hosts can use the addresses that a server gives.
public enum AddressCheck {
  /// A fault of an address.
  public struct Complaint: Hashable, Sendable {
    public var failure: CheckFailure
    /// False: some clients can use the address, so this is a warning.
    public var isFatal: Bool
  }

  /// Checks XOR-RELAYED-ADDRESS, to which peers send. It must be reachable as widely as the server itself, or only
  /// peers near the server can use the relay.
  public static func relayed(_ address: SocketAddress, server: SocketAddress) -> Complaint? {
    let found = AddressScope.judge(address.address)
    let remedy = "tell the server its public address (turnpike: relay.advertise, coturn: external-ip)"
    guard found.scope != .nowhere, address.port > 0 else {
      let what = address.port > 0 ? found.words : "has port 0"
      return Complaint(
        failure: CheckFailure(
          .relayedAddress, "the relayed address \(address) \(what): no peer can send to it", advice: remedy),
        isFatal: true)
    }
    guard found.scope < AddressScope(server.address) else { return nil }
    // A socket on loopback or a link cannot send beyond it.
    return Complaint(
      failure: CheckFailure(
        .relayedAddress,
        "the relayed address \(address) \(found.words), unlike the server's (\(server.address)): peers outside can't "
          + "reach it",
        advice: remedy),
      isFatal: found.scope < .site)
  }

  /// Checks XOR-MAPPED-ADDRESS, our address as the server sees it. `local`: our socket's address; an unchanged address
  /// is correct, whatever its kind.
  public static func mapped(
    _ address: SocketAddress, local: SocketAddress?, server: SocketAddress
  ) -> Complaint? {
    let found = AddressScope.judge(address.address)
    guard found.scope != .nowhere, address.port > 0 else {
      let what = address.port > 0 ? found.words : "has port 0"
      return Complaint(
        failure: CheckFailure(
          .mappedAddress, "the mapped address \(address) \(what): no host can have sent from it",
          advice: "the server, or a device on the way that changes addresses, is faulty"),
        isFatal: true)
    }
    guard found.scope < AddressScope(server.address), address.address.canonical != local?.address.canonical
    else { return nil }
    return Complaint(
      failure: CheckFailure(
        .mappedAddress,
        "the mapped address \(address) \(found.words), unlike the server's (\(server.address)): no client outside can "
          + "send to it",
        advice: "a proxy, load balancer or container network before the server hides the clients' addresses"),
      isFatal: false)
  }
}
