/// The result of a non-blocking read from a socket, a stream, or an engine of TLS or DTLS.
@frozen
public enum ReadResult<Failure: Error & Equatable>: Equatable, Sendable {
  /// This many bytes were read; 0 is an empty datagram.
  case bytes(Int)
  /// No bytes are available now.
  case wouldBlock
  /// The other side has ended its direction (end of stream, or close_notify); it may still read.
  case closed
  /// The socket or connection has failed. A TLS engine has an alert in its output: send it, then close.
  case failed(Failure)
}
