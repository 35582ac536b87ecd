public import NetIO
public import NetworkTypes
public import TLS

/// Why a server could not be reached, or a connection to it ended.
public enum ConnectionFailure: Error, Hashable, Sendable {
  case unresolved(name: String, ResolutionError)
  /// Nobody listens: a TCP reset, or ICMP port unreachable.
  case refused
  /// No route, or a firewall that says so.
  case unreachable(Errno)
  case timeout(Stage)
  /// The server closed the connection.
  case closed
  /// The stream holds what is no STUN.
  case notSTUN
  case tls(TLSError, TLSConnectionSummary)
  case system(Errno)
  /// A transport that this program does not speak yet.
  case unsupported(TransportProtocol)

  public enum Stage: String, Hashable, Sendable {
    case connecting = "TCP connection"
    case handshake = "TLS handshake"
    case sending
    case answer
  }

  /// Whether it may be over with the next packet: an ICMP error over UDP, where a server or the way to it is down for a
  /// while.
  func isPassing(over transport: TransportProtocol) -> Bool {
    guard transport == .udp else { return false }
    switch self {
    case .refused, .unreachable: return true
    default: return false
    }
  }

  /// `isBound`: the socket was bound to an address or port of the user's choice, which may be what failed.
  init(_ error: Errno, isBound: Bool = false) {
    switch error {
    case .addressNotAvailable where isBound, .permissionDenied where isBound: self = .system(error)
    case .connectionRefused: self = .refused
    case .connectionReset: self = .closed
    case .timedOut: self = .timeout(.connecting)
    case .networkUnreachable, .hostUnreachable, .permissionDenied, .notPermitted, .addressNotAvailable:
      self = .unreachable(error)
    default: self = .system(error)
    }
  }
}
