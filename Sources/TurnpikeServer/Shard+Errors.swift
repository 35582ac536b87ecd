internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

extension Shard {
  /// Reads a relay socket's ICMP errors, and passes those about the client's own datagrams to it. Each turn reads a
  /// limited number, because spoofed errors can arrive as fast as they are read; the event repeats while any are left.
  mutating func receiveErrors(_ id: Handle<RelayPort>) {
    guard let descriptor = plane.relayPorts.descriptor(Handle(sameAs: id)) else { return }
    for _ in 0..<64 {
      guard let item = ICMPErrorQueue.next(from: descriptor) else { return }
      guard case .icmp(let report) = item else { continue }
      relay.receiveICMP(
        type: report.type, code: report.code, mtu: report.mtu, about: report.destination, on: id, now: now)
      runCommands()
    }
    plane.lookAgain(at: id)
  }
}
