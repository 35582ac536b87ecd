/// The transport between client and server.
public enum TransportProtocol: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
  case udp = 0
  case tcp = 1
  case tls = 2
  case dtls = 3

  /// Whether the transport is a stream of messages (TCP, TLS) and not one message a datagram (UDP, DTLS).
  @inlinable public var isStream: Bool { self == .tcp || self == .tls }

  /// Whether the bytes between client and server are encrypted.
  @inlinable public var isSecure: Bool { self == .tls || self == .dtls }

  /// The default port of a URI: 3478, or 5349 for the secure transports (RFC 8489 section 18.6).
  public var defaultPort: UInt16 { isSecure ? 5349 : 3478 }
}
