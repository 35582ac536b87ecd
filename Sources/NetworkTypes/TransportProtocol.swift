/// How a client reaches the server.
public enum TransportProtocol: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
  case udp = 0
  case tcp = 1
  case tls = 2
  case dtls = 3

  /// TCP and TLS carry a stream of messages; UDP and DTLS one message a datagram.
  @inlinable public var isStream: Bool { self == .tcp || self == .tls }

  /// Whether the bytes between client and server are encrypted.
  @inlinable public var isSecure: Bool { self == .tls || self == .dtls }

  /// The port a URI without one means: 3478, or 5349 for the secure ones (RFC 8489 section 18.6).
  public var defaultPort: UInt16 { isSecure ? 5349 : 3478 }
}
