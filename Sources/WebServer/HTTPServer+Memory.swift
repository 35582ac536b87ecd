internal import CWebSockets
internal import NetworkTypes
internal import TLS

/// A budget of memory that a server shares with other parts of its program.
public protocol MemoryBudget: Sendable {
  /// Charges bytes; false, without a charge, if the budget does not have them.
  func charge(_ byteCount: Int) -> Bool
  func release(_ byteCount: Int)
  /// Whether so little is left that the heaviest client should give way before a charge fails.
  var isNearlyUsedUp: Bool { get }
}

extension HTTPServer {
  /// A limit at which the server closes a connection.
  public enum Limit: Sendable, CaseIterable {
    /// `Options.memory` is used up.
    case memory
    /// The client sent too many handshake messages of TLS without data.
    case messagesWithoutData
  }

  /// An estimate of what libwebsockets holds for a connection without TLS: its own structures, and room for headers
  /// (6.0 KiB measured).
  static let plainCost = 8 << 10
  /// The same with TLS, for OpenSSL's structures in a handshake (51 KiB measured) or with a record that is not complete
  /// (36 KiB).
  static let secureCost = 56 << 10

  private var connectionCost: Int { options.certificate == nil ? Self.plainCost : Self.secureCost }

  /// Whether a client may have another connection, for which memory is charged.
  ///
  /// - Parameter client: nil on a Unix socket, for which nothing is charged.
  func admit(_ client: [UInt8]?) -> Bool {
    guard clients.hasRoom(for: client, below: options.connectionsPerAddress) else { return false }
    var charge = 0
    if let client, options.memory != nil {
      charge = connectionCost
      guard take(charge, client) else { return false }
    }
    let unused = clients.admit(client, charge: charge)
    options.memory?.release(unused)
    return true
  }

  /// A connection has ended.
  func forgetClient(_ connection: OpaquePointer) {
    let floods = options.certificate?.floodCount ?? 0
    // The client is not named: the connection that sent the messages may end later than this one.
    for _ in reportedFloods..<max(floods, reportedFloods) { report(.messagesWithoutData, nil) }
    reportedFloods = floods
    let charge = unsafe clients.end(connection)
    options.memory?.release(charge)
  }

  /// The client of a connection has shown the token, so nothing is charged any more.
  func knowClient(_ connection: OpaquePointer) {
    guard let charge = unsafe clients[connection]?.charge else { return }
    options.memory?.release(charge)
    unsafe clients[connection]?.charge = 0
    unsafe clients[connection]?.isKnown = true
  }

  /// Charges what a connection holds after an event; false if it must be closed because the budget is used up.
  func settle(_ connection: OpaquePointer) -> Bool {
    guard let budget = options.memory, let client = unsafe clients[connection], !client.isKnown else { return true }
    // libwebsockets sets a timeout of its own after many events, and so forgets the one that `take` has set.
    guard !client.isEnding else { return false }
    let held = unsafe connectionCost + heldByteCount(of: connection)
    if held > client.charge {
      guard take(held - client.charge, client.client) else {
        unsafe clients[connection]?.isEnding = true
        return false
      }
    } else {
      budget.release(client.charge - held)
    }
    unsafe clients[connection]?.charge = held
    // `take` may have chosen this connection.
    return unsafe clients[connection]?.isEnding != true
  }

  /// The bytes of a connection's request, of the response that its client has not read, and of its WebSocket.
  private func heldByteCount(of connection: OpaquePointer) -> Int {
    var count = 0
    if let exchange = unsafe exchanges[connection] {
      count += exchange.request.body.capacity + (exchange.response?.body.count ?? 0) - exchange.offset
    }
    if let socket = unsafe sockets.open[connection] { count += socket.input.capacity + socket.outputCost }
    return max(count, 0)
  }

  /// Charges bytes of a client. If little is left, the oldest connection of the heaviest client gives way. Its memory is
  /// free only after the present event, so the charge may fail nevertheless.
  private func take(_ byteCount: Int, _ client: [UInt8]) -> Bool {
    guard let budget = options.memory else { return true }
    let isCharged = budget.charge(byteCount)
    if !isCharged || budget.isNearlyUsedUp {
      report(.memory, client)
      if let victim = unsafe clients.heaviest {
        unsafe clients[victim]?.isEnding = true
        unsafe lws_set_timeout(victim, PENDING_TIMEOUT_CLOSE_SEND, Int32(LWS_TO_KILL_ASYNC))
      }
    }
    return isCharged
  }

  private func report(_ limit: Limit, _ client: [UInt8]?) {
    options.report(limit, client.map { IPAddress(clientKey: $0) } ?? .ipv4Any)
  }

  /// Application data has arrived, so the client may send handshake messages again.
  func countData(_ connection: OpaquePointer) {
    if let engine = unsafe lws_get_ssl(connection) { unsafe ForeignMessageCount.reset(engine) }
  }

  /// Whether libwebsockets closes a connection for which the callback returns -1. For other reasons this value would mean
  /// another failure, for example of a change of the sockets that are watched.
  static func mayClose(_ reason: lws_callback_reasons) -> Bool {
    switch reason {
    case LWS_CALLBACK_HTTP, LWS_CALLBACK_HTTP_BODY, LWS_CALLBACK_HTTP_BODY_COMPLETION, LWS_CALLBACK_HTTP_WRITEABLE,
      LWS_CALLBACK_FILTER_HTTP_CONNECTION, LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, LWS_CALLBACK_ESTABLISHED,
      LWS_CALLBACK_RECEIVE, LWS_CALLBACK_SERVER_WRITEABLE:
      true
    default: false
    }
  }
}
