import NetIO
import NetworkTypes
import System
import TLS

/// A buffer for received bytes.
struct ReceiveBuffer {
  private var bytes = [UInt8](repeating: 0, count: 2048)

  mutating func receiveStream(_ socket: borrowing ClientSocket) -> ReadResult<Errno> {
    var elements = bytes.mutableSpan
    var span = unsafe elements.mutableBytes
    return socket.receive(into: &span, isStream: true)
  }

  mutating func receiveDatagram(_ socket: borrowing ClientSocket) -> ReadResult<Errno> {
    var elements = bytes.mutableSpan
    var span = unsafe elements.mutableBytes
    return socket.receive(into: &span, isStream: false)
  }

  mutating func read(_ engine: inout DTLSEngine) -> ReadResult<TLSError> {
    var elements = bytes.mutableSpan
    var span = unsafe elements.mutableBytes
    return engine.read(into: &span)
  }

  func prefix(_ count: Int) -> [UInt8] { Array(bytes.prefix(count)) }

  mutating func receive(_ socket: borrowing ClientSocket) -> (ReadResult<Errno>, SocketAddress) {
    var sender = SocketAddress.none
    var elements = bytes.mutableSpan
    var span = unsafe elements.mutableBytes
    return (socket.receive(into: &span, from: &sender), sender)
  }
}
