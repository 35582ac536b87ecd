internal import CWebSockets
internal import NetworkTypes

/// WebSockets (RFC 6455).
extension HTTPServer {
  /// Handles the events of WebSockets; nil for events of other kinds.
  func handleSocket(
    _ connection: OpaquePointer, _ reason: lws_callback_reasons, _ bytes: UnsafeRawBufferPointer
  ) -> Int32? {
    switch reason {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
      return unsafe confirm(connection)
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return unsafe sockets.accepted.contains(connection) ? 0 : -1
    case LWS_CALLBACK_ESTABLISHED:
      return unsafe beginSocket(connection)
    case LWS_CALLBACK_RECEIVE:
      return unsafe receiveText(bytes, on: connection)
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return unsafe writeText(connection)
    case LWS_CALLBACK_TIMER:
      guard let id = unsafe sockets.open[connection]?.id, let handler = options.webSockets else { return 0 }
      apply(handler.check(id))
      unsafe lws_set_timer_usecs(connection, Int64(clamping: options.checkInterval.wholeNanoseconds / 1000))
      return 0
    case LWS_CALLBACK_CLOSED:
      unsafe endSocket(connection)
      return 0
    default: return nil
    }
  }

  /// The result for a request for an upgrade: 0 accepts it, 1: a refusal has been sent, -1 closes the connection.
  private func confirm(_ connection: OpaquePointer) -> Int32 {
    let kind = unsafe Self.header(WSI_TOKEN_UPGRADE, of: connection)
    guard let handler = options.webSockets, kind?.lowercased() == "websocket",
      unsafe Self.method(of: connection) == .get,
      let path = unsafe Self.header(WSI_TOKEN_GET_URI, of: connection)
    else { return -1 }
    var request = HTTPRequest(.get, path)
    unsafe Self.readHeaders(of: connection, into: &request)
    if var refusal = handler.refusal(of: request) {
      refusal.body = []
      return unsafe writeHeaders(refusal, on: connection) ? 1 : -1
    }
    unsafe sockets.accepted.insert(connection)
    return 0
  }

  private func beginSocket(_ connection: OpaquePointer) -> Int32 {
    guard let handler = options.webSockets, unsafe sockets.accepted.remove(connection) != nil else { return -1 }
    sockets.lastNumber += 1
    let id = sockets.lastNumber
    unsafe sockets.open[connection] = WebSockets.Socket(id: id)
    unsafe sockets.names[id] = connection
    unsafe lws_set_timer_usecs(connection, Int64(clamping: options.checkInterval.wholeNanoseconds / 1000))
    apply(handler.opened(id))
    return 0
  }

  private func endSocket(_ connection: OpaquePointer) {
    unsafe sockets.accepted.remove(connection)
    guard let socket = unsafe sockets.open.removeValue(forKey: connection) else { return }
    unsafe sockets.names[socket.id] = nil
    sockets.cost -= socket.outputCost
    if let handler = options.webSockets { apply(handler.closed(socket.id)) }
  }

  private func receiveText(_ bytes: UnsafeRawBufferPointer, on connection: OpaquePointer) -> Int32 {
    guard let handler = options.webSockets, let socket = unsafe sockets.open[connection] else { return -1 }
    unsafe countData(connection)
    // A message after the decision to close is dropped.
    guard socket.closing == nil else { return 0 }
    if unsafe lws_frame_is_binary(connection) != 0 {
      unsafe cws_close_code(connection, 1003)
      return -1
    }
    guard socket.input.count + bytes.count <= Int(options.messageLimit) else {
      unsafe cws_close_code(connection, 1009)
      return -1
    }
    unsafe sockets.open[connection]?.input.append(contentsOf: bytes)
    guard unsafe cws_is_end(connection), let text = unsafe sockets.open[connection]?.input else { return 0 }
    unsafe sockets.open[connection]?.input = []
    apply(handler.received(text, on: socket.id))
    return 0
  }

  /// Writes one part of a message, or closes the socket after the last message.
  private func writeText(_ connection: OpaquePointer) -> Int32 {
    guard let socket = unsafe sockets.open[connection] else { return -1 }
    guard let message = socket.output.first else {
      guard let code = socket.closing else { return 0 }
      unsafe cws_close_code(connection, UInt32(code))
      return -1
    }
    let end = min(socket.offset + 4096, message.count)
    let isLast = end == message.count
    let written = unsafe message[socket.offset..<end].withUnsafeBufferPointer { part in
      guard let start = part.baseAddress else { return Int32(-1) }
      return unsafe cws_write_text(connection, start, UInt32(part.count), socket.offset == 0, isLast)
    }
    guard written >= 0 else { return -1 }
    if isLast {
      let cost = WebSockets.cost(of: message)
      unsafe sockets.open[connection]?.output.removeFirst()
      unsafe sockets.open[connection]?.outputCost -= cost
      sockets.cost -= cost
    }
    unsafe sockets.open[connection]?.offset = isLast ? 0 : end
    if !isLast || socket.output.count > 1 || socket.closing != nil { unsafe lws_callback_on_writable(connection) }
    return 0
  }

  private func apply(_ actions: [WebSocketAction]) {
    for action in actions {
      switch action {
      case .send(let id, let text): send(text, to: id)
      case .admit(let id):
        if let connection = unsafe sockets.names[id] { unsafe forgetClient(connection) }
      case .close(let id, let code):
        guard let connection = unsafe sockets.names[id] else { continue }
        unsafe sockets.open[connection]?.closing = code
        unsafe lws_callback_on_writable(connection)
        // A client that does not read loses its connection after this time.
        unsafe lws_set_timeout(connection, PENDING_TIMEOUT_CLOSE_SEND, Int32(clamping: Self.closeTimeout.wholeSeconds))
      }
    }
  }

  /// The time in which a client must read the messages before its close frame.
  private static let closeTimeout = Duration.seconds(5)

  private func send(_ text: [UInt8], to id: UInt64) {
    guard let connection = unsafe sockets.names[id], let socket = unsafe sockets.open[connection],
      socket.closing == nil, !text.isEmpty
    else { return }
    let cost = WebSockets.cost(of: text)
    guard socket.outputCost + cost <= Int(options.queueLimit) else { return unsafe cutOff(connection) }
    unsafe sockets.open[connection]?.output.append(text)
    unsafe sockets.open[connection]?.outputCost += cost
    sockets.cost += cost
    unsafe lws_callback_on_writable(connection)
    if sockets.cost > Int(options.queuesLimit),
      let slowest = unsafe sockets.open.max(by: { unsafe $0.value.outputCost < $1.value.outputCost })
    {
      unsafe cutOff(slowest.key)
    }
  }

  /// Drops the messages that wait for a client, and closes its connection without a close frame.
  private func cutOff(_ connection: OpaquePointer) {
    sockets.cost -= unsafe sockets.open[connection]?.outputCost ?? 0
    unsafe sockets.open[connection]?.output = []
    unsafe sockets.open[connection]?.outputCost = 0
    unsafe sockets.open[connection]?.offset = 0
    unsafe sockets.open[connection]?.closing = 1008
    unsafe lws_set_timeout(connection, PENDING_TIMEOUT_CLOSE_SEND, Int32(LWS_TO_KILL_ASYNC))
  }
}
