/// Handles the WebSockets (RFC 6455) of a server. All functions are called on the server's thread, so they must not
/// block.
///
/// The result for each event is a list of actions, for any of the open sockets; actions for closed sockets have no
/// effect.
public protocol WebSocketHandler: Sendable {
  /// The refusal of a request that asks for a WebSocket; nil accepts it. Only status and headers are sent.
  func refusal(of request: HTTPRequest) -> HTTPResponse?
  /// A socket is open. Its number is never used again.
  func opened(_ socket: UInt64) -> [WebSocketAction]
  /// A whole text message has arrived. (A client that sends a binary message is closed with 1003.)
  func received(_ text: [UInt8], on socket: UInt64) -> [WebSocketAction]
  /// A socket is closed, by either side.
  func closed(_ socket: UInt64) -> [WebSocketAction]
  /// Called for each socket every few seconds.
  func check(_ socket: UInt64) -> [WebSocketAction]
}

/// An action of the server on a WebSocket.
public enum WebSocketAction: Sendable, Equatable {
  /// Sends a text message.
  case send(UInt64, [UInt8])
  /// The socket no longer counts for the connections of its client's address.
  case admit(UInt64)
  /// Sends the waiting messages, then closes with this code (RFC 6455 section 7.4).
  case close(UInt64, code: UInt16)
}

/// The open WebSockets of a server.
@safe
struct WebSockets {
  /// One socket and the messages that wait for its client.
  struct Socket {
    let id: UInt64
    /// The message that is not complete yet.
    var input: [UInt8] = []
    /// Messages for the client, the oldest first.
    var output: [[UInt8]] = []
    /// The number of bytes of the first message in `output` that are sent.
    var offset = 0
    /// The cost of `output`.
    var outputCost = 0
    /// The code of the close frame that follows `output`.
    var closing: UInt16?
  }

  /// Requests for WebSockets that the handler has accepted.
  var accepted: Set<OpaquePointer>
  var open: [OpaquePointer: Socket]
  var names: [UInt64: OpaquePointer]
  var lastNumber: UInt64 = 0
  /// The cost of all messages that wait for clients.
  var cost = 0

  init() {
    unsafe accepted = []
    unsafe open = [:]
    unsafe names = [:]
  }

  /// A message's share of the limits: its bytes, and about 64 more for its array.
  static func cost(of message: [UInt8]) -> Int { message.count + 64 }
}
