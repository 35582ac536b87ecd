internal import NetIO
internal import NetworkTypes
internal import TURN

extension Shard {
  /// Something on the way to a peer sent ICMP messages back: the client is told of those that concern it. The queue is
  /// read empty, or its event would come again and again; it holds no more than the socket's buffer does.
  mutating func receiveErrors(_ id: RecordID) {
    guard let descriptor = plane.relayPorts.descriptor(id.index, generation: id.generation) else { return }
    while let item = ErrorQueue.next(from: descriptor) {
      guard case .icmp(let report) = item else { continue }
      relay.receiveICMP(
        type: report.type, code: report.code, mtu: report.mtu, about: report.destination, on: id, now: now)
      runCommands()
    }
  }
}
