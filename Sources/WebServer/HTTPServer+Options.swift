public import NetworkTypes
public import TLS

extension HTTPServer {
  /// The options of a server.
  public struct Options: Sendable {
    /// The listener's address, or the path of its Unix socket.
    public enum Endpoint: Sendable, Equatable {
      case address(String, port: UInt16)
      case unixSocket(String)
    }

    /// Where the server listens.
    public var endpoint: Endpoint
    /// The certificate of an HTTPS server; nil: no TLS.
    public var certificate: CertificateChoice?
    /// Limit of open connections; further ones wait in the kernel's queue.
    public var connections: UInt32 = 512
    /// Limit of open connections of one IPv4 address or IPv6 /64; further ones are closed at once, so that they do not
    /// keep others waiting. A Unix socket does not have this limit.
    public var connectionsPerAddress = 24
    /// The longest time for a request's headers, and between two parts of its body; in whole seconds.
    public var requestTimeout = Duration.seconds(5)
    /// The longest time for a whole body.
    public var bodyTimeout = Duration.seconds(30)
    /// Limit of a request's body.
    public var bodyLimit = ByteCount.kibibytes(64)
    /// Handles the WebSockets; nil: every upgrade is refused.
    public var webSockets: (any WebSocketHandler)?
    /// Limit of a WebSocket's message; the sender of a longer one is closed with 1009.
    public var messageLimit = ByteCount.kibibytes(64)
    /// Limit of the bytes that wait for one WebSocket's client. Beyond it the client is cut off.
    public var queueLimit = ByteCount.mebibytes(1)
    /// Limit of the bytes that wait for all WebSockets' clients. Beyond it the client with most bytes is cut off.
    public var queuesLimit = ByteCount.mebibytes(16)
    /// The time between two calls of `WebSocketHandler.check` for one WebSocket.
    public var checkInterval = Duration.seconds(5)
    /// The memory for clients whose requests are not an operator's; nil: it has no limit. At the limit the oldest
    /// connection of the heaviest address is closed, and further ones are refused. Does not apply to a Unix socket.
    public var memory: (any MemoryBudget)?
    /// Called when a limit has closed the connection of a client; on the server's thread, so it must not block.
    public var report: @Sendable (Limit, IPAddress) -> Void = { _, _ in }

    public init(_ endpoint: Endpoint) { self.endpoint = endpoint }
  }
}
