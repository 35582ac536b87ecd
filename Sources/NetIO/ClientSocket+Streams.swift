internal import CLinux

/// What a client of byte streams does beside sending and receiving.
extension ClientSocket {
  /// Takes the next connection of a listener; nil where none waits.
  public static func accepted(by listener: borrowing StreamListener) throws(Errno) -> ClientSocket? {
    guard let socket = try listener.accept() else { return nil }
    return ClientSocket(socket.release())
  }

  /// Says that nothing more will be sent; reading goes on.
  public func endWriting() { _ = shutdown(rawValue, Int32(SHUT_WR)) }

  /// Has the connection end with a reset once it is closed, as that of a process that dies: what is not delivered yet is
  /// lost.
  public func resetWhenClosed() {
    var option = linger(l_onoff: 1, l_linger: 0)
    _ = unsafe setsockopt(rawValue, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
  }
}
