internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

extension DataPlane {
  /// Sends one datagram with the DF bit from a relay port, after the waiting datagrams. A datagram above the MTU of a
  /// link is lost.
  ///
  /// - Returns: whether the socket's error queue may have an entry.
  mutating func sendUnfragmented(_ port: Handle<RelayPort>, _ peer: SocketAddress, _ bytes: [UInt8]) -> Bool {
    guard let descriptor = relayPorts.descriptor(Handle(sameAs: port)) else { return false }
    flush()
    do throws(Errno) { try UnfragmentedSend.send(bytes, over: descriptor, to: peer) } catch { return true }
    return false
  }

  /// Sends waiting datagrams, then closes the sockets in `closing`.
  mutating func closeSockets() {
    if usesRing { ring?.send(&sends, thenCancel: closing.map(\.token)) } else { sends.flush() }
    for closed in closing { _ = FileDescriptor(owning: closed.descriptor) }
    closing.removeAll(keepingCapacity: true)
  }
}
