internal import NetIO
internal import NetworkTypes
internal import TURN

extension Shard {
  /// Something on the way to a peer sent ICMP messages back: the client is told of those that concern it. A bounded
  /// number a turn: spoofed ones can come as fast as they are read, and the event comes again while any are left.
  mutating func receiveErrors(_ id: RecordID) {
    guard let descriptor = plane.relayPorts.descriptor(id.index, generation: id.generation) else { return }
    for _ in 0..<64 {
      guard let item = ErrorQueue.next(from: descriptor) else { return }
      guard case .icmp(let report) = item else { continue }
      relay.receiveICMP(
        type: report.type, code: report.code, mtu: report.mtu, about: report.destination, on: id, now: now)
      runCommands()
    }
    plane.lookAgain(at: id)
  }
}
