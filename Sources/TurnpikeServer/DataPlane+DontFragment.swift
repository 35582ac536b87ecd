internal import NetIO
internal import NetworkTypes
internal import TURN

extension DataPlane {
  /// Sends one datagram of a relay that must not be fragmented, after what waits. One that does not fit is gone, as
  /// on any link.
  ///
  /// - Returns: whether the socket's error queue may have something to tell.
  mutating func sendUnfragmented(_ port: RecordID, _ peer: SocketAddress, _ bytes: [UInt8]) -> Bool {
    guard let descriptor = relayPorts.descriptor(port.index, generation: port.generation) else { return false }
    flush()
    do throws(Errno) { try UnfragmentedSend.send(bytes, over: descriptor, to: peer) } catch { return true }
    return false
  }
}
