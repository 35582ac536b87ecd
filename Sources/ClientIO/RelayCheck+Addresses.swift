internal import NetworkTypes
internal import TURNClient

extension RelayCheck {
  /// An unreachable address is a failure of Allocate; one that only some clients can reach is a warning.
  mutating func judgeAddresses() {
    guard let grant = report.grant else { return }
    var found = grant.relayedAddresses.compactMap { AddressCheck.relayed($0, server: target.address) }
    if let mapped = grant.mappedAddress,
      let complaint = AddressCheck.mapped(mapped, local: report.localAddress, server: target.address)
    {
      // Behind a stream proxy the relay still works, because the mapped address is not used.
      if complaint.isFatal || target.transport == .udp {
        found.append(complaint)
      } else {
        report.notes.append(complaint.failure.message)
      }
    }
    if let fatal = found.first(where: \.isFatal), let index = report.steps.firstIndex(where: { $0.name == .allocate }) {
      report.steps[index].failure = fatal.failure
    }
    report.complaints += found.filter { !$0.isFatal }.map(\.failure)
  }

  /// If no data arrives and the relayed address cannot be reached from here, names the address as the cause.
  mutating func explainLoss() {
    guard let complaint = report.complaints.first(where: { $0.reason == .relayedAddress }),
      let index = report.steps.firstIndex(where: { $0.failure?.reason == .echoLost })
    else { return }
    report.steps[index].failure?.advice = "\(complaint.message): \(complaint.advice)"
  }

  /// The STUN server that tells a plain peer its mapped address: the checked server, over UDP.
  var bindingServer: SocketAddress? {
    switch target.transport {
    case .udp, .tcp: target.address
    case .tls, .dtls:
      SocketAddress(
        target.address.address, port: TransportProtocol.udp.defaultPort, scope: target.address.scope)
    }
  }
}
