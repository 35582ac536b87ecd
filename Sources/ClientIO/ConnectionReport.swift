internal import NetworkTypes
internal import TLS

/// The connection's part of reports on Binding requests.
protocol ConnectionReport {
  var localAddress: SocketAddress? { get set }
  /// The duration of the TCP connection's setup; zero over UDP and DTLS.
  var connectDuration: Duration { get set }
  /// The duration of the TLS or DTLS handshake; zero without one.
  var handshakeDuration: Duration { get set }
  var tls: TLSConnectionSummary? { get set }
}

extension ConnectionReport {
  mutating func describe(_ connection: borrowing ClientConnection) {
    localAddress = connection.localAddress
    connectDuration = connection.connectDuration
    handshakeDuration = connection.handshakeDuration
    tls = connection.tlsSummary
  }
}
