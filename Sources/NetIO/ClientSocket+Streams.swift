internal import CLinux
public import System

/// Operations of stream clients other than sending and receiving.
extension ClientSocket {
  /// Takes the next connection of a listener; nil if none waits.
  public static func accepted(by listener: borrowing StreamListener) throws(Errno) -> ClientSocket? {
    guard let socket = try listener.accept() else { return nil }
    return ClientSocket(socket.release())
  }

  /// Ends our direction of the stream; reading continues.
  public func endWriting() { _ = shutdown(rawValue, Int32(SHUT_WR)) }

  /// Makes closing send a reset, as when a process dies: undelivered bytes are lost.
  public func resetWhenClosed() {
    var option = linger(l_onoff: 1, l_linger: 0)
    _ = unsafe setsockopt(rawValue, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
  }
}
