public import TLS

extension HTTPServer {
  public struct Options: Sendable {
    public enum Place: Sendable, Equatable {
      case address(String, port: UInt16)
      case unixSocket(String)
    }

    public var place: Place
    /// The certificate of an HTTPS server; nil: no TLS.
    public var certificate: CertificateChoice?
    /// Limit of open connections; further ones wait in the kernel's queue.
    public var connections: UInt32 = 512
    /// Limit of open connections of one IPv4 address or IPv6 /64; further ones are closed at once, so that they do not
    /// keep others waiting. Does not apply to a Unix socket.
    public var connectionsPerAddress = 24
    /// The longest time in seconds for a request's headers, and between two parts of its body.
    public var requestSeconds: UInt32 = 5
    /// The longest time in seconds for a whole body.
    public var bodySeconds: UInt32 = 30
    /// Limit of a request's body in bytes.
    public var bodyLimit = 65_536
    /// Takes the WebSockets; nil: every upgrade is refused.
    public var webSockets: (any WebSocketHandler)?
    /// Limit of a WebSocket's message in bytes; the sender of a longer one is closed with 1009.
    public var messageLimit = 65_536
    /// Limit of the bytes that wait for one WebSocket's client, and of these for all; at the first one its client is cut
    /// off, at the second the client for which most bytes wait.
    public var queueLimit = 1 << 20
    public var queuesLimit = 16 << 20
    /// Seconds between two calls of `WebSocketHandler.check` for one WebSocket.
    public var checkSeconds: UInt32 = 5

    public init(_ place: Place) { self.place = place }
  }
}
