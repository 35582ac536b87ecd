public import NetIO
public import NetworkTypes
public import System
public import TLS

/// The reason why a server could not be reached, or why a connection to it ended.
public enum ConnectionFailure: Error, Hashable, Sendable {
  case unresolved(name: String, ResolutionError)
  /// No program listens on the port: a TCP reset, or ICMP port unreachable.
  case refused
  /// No route, or a firewall's refusal.
  case unreachable(Errno)
  case timeout(Stage)
  /// The server closed the connection.
  case closed
  /// The stream is not STUN.
  case notSTUN
  case tls(TLSError, TLSConnectionSummary)
  case system(Errno)
  /// TLS or DTLS without a context: the caller gave no trusted certificates for this transport.
  case unsupported(TransportProtocol)

  /// The step at which the time ran out.
  public enum Stage: String, Hashable, Sendable {
    case connecting = "TCP connection"
    case handshake = "TLS handshake"
    case sending
    case answer
  }

  /// Whether the next packet may succeed: an ICMP error over UDP, for a server or path that is down for a while.
  func isPassing(over transport: TransportProtocol) -> Bool {
    guard transport == .udp else { return false }
    switch self {
    case .refused, .unreachable: return true
    default: return false
    }
  }

  /// `isBound`: the user chose the socket's address or port, which may be the cause.
  init(_ error: Errno, isBound: Bool = false) {
    switch error {
    case .addressNotAvailable where isBound, .permissionDenied where isBound: self = .system(error)
    case .connectionRefused: self = .refused
    case .connectionReset, .brokenPipe: self = .closed
    case .timedOut: self = .timeout(.connecting)
    case .networkUnreachable, .hostUnreachable, .permissionDenied, .notPermitted, .addressNotAvailable:
      self = .unreachable(error)
    default: self = .system(error)
    }
  }
}
