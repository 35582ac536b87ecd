internal import CWebSockets
internal import NetworkTypes
internal import Synchronization
internal import TLS

/// An HTTP/1.1 server over libwebsockets, with one thread.
///
/// Everything that a client can use up is bounded: connections, the size of headers and bodies, the time for a request,
/// and responses that wait for their client. A handler answers at once, or gives nil and answers later with `answer`.
@safe
public final class HTTPServer: @unchecked Sendable {
  // @unchecked: `exchanges`, `names`, `clients`, `sockets`, `lastNumber` and `reportedFloods` are used only by `handle`,
  // `count`, `handleSocket` and `settle`, which libwebsockets calls inside `lws_service` and so on the one thread in
  // `run`, whatever clients do. The other stored properties are constants; `later` has a lock, and `lws_cancel_service` may be called from any
  // thread.

  /// Names an exchange whose response comes later.
  public struct ExchangeID: Hashable, Sendable { var number: UInt64 }

  /// Returns the response, or nil if `answer` follows. It is called on the server's thread, so it must not block.
  public typealias Handler = @Sendable (HTTPRequest, ExchangeID) -> HTTPResponse?

  let options: Options
  private let handler: Handler
  private let context: OpaquePointer
  private let protocols: UnsafeMutablePointer<lws_protocols>
  private let box: UnsafeMutablePointer<Unowned>
  private(set) var exchanges: [OpaquePointer: HTTPExchange]
  private var names: [ExchangeID: OpaquePointer]
  private var lastNumber: UInt64 = 0
  var clients = ClientCounts()
  let usage = ConnectionUsage()
  var sockets = WebSockets()
  /// The number of connections that sent too many handshake messages, as far as it was reported.
  var reportedFloods = 0

  private struct Later: Sendable {
    var answers: [(ExchangeID, HTTPResponse)] = []
    var isStopping = false
  }

  private let later = Mutex(Later())
  private let exchangeCount = Atomic(0)

  /// Whether requests wait for their responses, or responses for their clients; any thread may ask.
  public var isAnswering: Bool { exchangeCount.load(ordering: .relaxed) > 0 }

  /// The object that libwebsockets keeps a pointer to. `server` is set after `init` has finished.
  private struct Unowned {
    weak var server: HTTPServer?
    var certificate: CertificateChoice?
  }

  /// The listener cannot be opened; libwebsockets gives no reason.
  public struct Failure: Error {}

  /// Opens the listener. No request is read before `run`.
  public init(_ options: Options, handler: @escaping Handler) throws(Failure) {
    cws_quiet()
    self.options = options
    self.handler = handler
    unsafe exchanges = [:]
    unsafe names = [:]
    unsafe protocols = .allocate(capacity: 2)
    unsafe box = .allocate(capacity: 1)
    unsafe box.initialize(to: Unowned(certificate: options.certificate))
    guard let context = unsafe Self.makeContext(options, box, protocols) else {
      unsafe box.deinitialize(count: 1)
      unsafe box.deallocate()
      unsafe protocols.deallocate()
      throw Failure()
    }
    unsafe self.context = context
    unsafe box.pointee.server = self
  }

  private static func makeContext(
    _ options: Options, _ box: UnsafeMutablePointer<Unowned>, _ protocols: UnsafeMutablePointer<lws_protocols>
  ) -> OpaquePointer? {
    // An address, or the path of a Unix socket.
    let interface: String
    var settings = unsafe cws_options()
    switch options.endpoint {
    case .address(let address, let port):
      interface = address
      unsafe settings.port = Int32(port)
    case .unixSocket(let path):
      interface = path
      unsafe settings.is_unix = true
    }
    unsafe settings.connections = options.connections + 8
    unsafe settings.request_seconds = options.requestTimeout.wholeSeconds
    unsafe settings.is_secure = options.certificate != nil
    return unsafe interface.withCString { interface in
      unsafe settings.interface = interface
      return unsafe cws_create(&settings, Self.callback, box, protocols)
    }
  }

  deinit {
    // libwebsockets ends the connections, but finds no server to tell any more.
    options.memory?.release(clients.totalCharge)
    unsafe lws_context_destroy(context)
    unsafe box.deinitialize(count: 1)
    unsafe box.deallocate()
    unsafe protocols.deallocate()
  }

  /// The listener's port: the kernel chooses one for port 0.
  public var port: UInt16 { unsafe UInt16(truncatingIfNeeded: cws_port(context)) }

  /// Serves until `stop` is called. This is the body of the server's thread.
  public func run() {
    while !later.withLock({ $0.isStopping }) {
      if unsafe lws_service(context, 0) < 0 { return }
    }
  }

  /// Ends `run`.
  public func stop() {
    later.withLock { $0.isStopping = true }
    unsafe lws_cancel_service(context)
  }

  /// Answers an exchange whose handler gave nil; any thread may call it. It has no effect if the client has left.
  public func answer(_ exchange: ExchangeID, _ response: HTTPResponse) {
    later.withLock { $0.answers.append((exchange, response)) }
    unsafe lws_cancel_service(context)
  }

  // MARK: - On the server's thread

  private static let callback:
    @convention(c) (OpaquePointer?, lws_callback_reasons, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int) ->
      Int32 = {
        connection, reason, user, bytes, count in
        guard let connection = unsafe connection,
          let box = unsafe cws_user(connection)?.assumingMemoryBound(to: Unowned.self)
        else { return 0 }
        if reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS, let context = unsafe user {
          unsafe box.pointee.certificate?.install(on: context)
          return 0
        }
        guard let server = unsafe box.pointee.server else { return 0 }
        let result =
          unsafe server.count(connection, reason, user)
          ?? server.handleSocket(connection, reason, UnsafeRawBufferPointer(start: bytes, count: count))
          ?? server.handle(connection, reason, UnsafeRawBufferPointer(start: bytes, count: count))
        return unsafe server.settle(connection) || !HTTPServer.mayClose(reason) ? result : -1
      }

  private func handle(
    _ connection: OpaquePointer, _ reason: lws_callback_reasons, _ bytes: UnsafeRawBufferPointer
  ) -> Int32 {
    switch reason {
    case LWS_CALLBACK_HTTP:
      return unsafe begin(connection, path: String(decoding: bytes, as: UTF8.self))
    case LWS_CALLBACK_HTTP_BODY:
      return unsafe receive(bytes, on: connection)
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
      return unsafe dispatch(connection)
    case LWS_CALLBACK_HTTP_WRITEABLE:
      return unsafe write(connection)
    case LWS_CALLBACK_CLOSED_HTTP, LWS_CALLBACK_HTTP_DROP_PROTOCOL:
      unsafe forget(connection)
      return 0
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
      takeAnswers()
      return 0
    default:
      return 0
    }
  }

  private func forget(_ connection: OpaquePointer) {
    if let exchange = unsafe exchanges.removeValue(forKey: connection) { unsafe names[exchange.id] = nil }
    unsafe exchangeCount.store(exchanges.count, ordering: .relaxed)
  }

  /// Begins an exchange when the request's headers have arrived.
  private func begin(_ connection: OpaquePointer, path: String) -> Int32 {
    unsafe forget(connection)
    unsafe countData(connection)
    lastNumber += 1
    let id = ExchangeID(number: lastNumber)
    let bodyEnd = Self.now + options.bodyTimeout
    guard let method = unsafe Self.method(of: connection) else {
      unsafe exchanges[connection] = HTTPExchange(id: id, request: HTTPRequest(.get, path), bodyEnd: bodyEnd)
      return unsafe respond(HTTPResponse(405, text: "this method is not supported"), on: connection)
    }
    var request = HTTPRequest(method, path)
    unsafe Self.readHeaders(of: connection, into: &request)
    unsafe exchanges[connection] = HTTPExchange(id: id, request: request, bodyEnd: bodyEnd)
    unsafe names[id] = connection
    unsafe exchangeCount.store(exchanges.count, ordering: .relaxed)
    if unsafe Self.header(WSI_TOKEN_HTTP_TRANSFER_ENCODING, of: connection) != nil {
      return unsafe respond(HTTPResponse(411, text: "a body needs Content-Length"), on: connection)
    }
    let length = unsafe Self.header(WSI_TOKEN_HTTP_CONTENT_LENGTH, of: connection)
    guard method != .get, method != .head, let length else { return unsafe dispatch(connection) }
    guard let count = UInt64(length) else {
      return unsafe respond(HTTPResponse(400, text: "Content-Length is not a number"), on: connection)
    }
    guard count <= options.bodyLimit.rawValue else {
      return unsafe respond(
        HTTPResponse(413, text: "the limit of a request's body is \(options.bodyLimit.rawValue) bytes"), on: connection)
    }
    return count == 0 ? unsafe dispatch(connection) : 0
  }

  private func receive(_ bytes: UnsafeRawBufferPointer, on connection: OpaquePointer) -> Int32 {
    unsafe countData(connection)
    // The exchange is not copied, because that would copy the body for each part.
    guard let end = unsafe exchanges[connection]?.bodyEnd, Self.now < end else { return -1 }
    guard let count = unsafe exchanges[connection]?.request.body.count,
      count + bytes.count <= Int(options.bodyLimit)
    else { return -1 }
    unsafe exchanges[connection]?.request.body.append(contentsOf: bytes)
    return 0
  }

  /// The present time of libwebsockets' own clock.
  private static var now: Duration { .microseconds(lws_now_usecs()) }

  /// Gives the whole request to the handler.
  private func dispatch(_ connection: OpaquePointer) -> Int32 {
    guard let exchange = unsafe exchanges[connection], !exchange.isDispatched else { return 0 }
    unsafe exchanges[connection]?.isDispatched = true
    guard let response = handler(exchange.request, exchange.id) else {
      unsafe lws_set_timeout(connection, PENDING_TIMEOUT_HTTP_CONTENT, Int32(clamping: Self.longestWait.wholeSeconds))
      return 0
    }
    return unsafe respond(response, on: connection)
  }

  /// The longest time that an exchange waits for `answer`, or for its client to read.
  private static let longestWait = Duration.seconds(30)

  private func takeAnswers() {
    let answers = later.withLock { later in
      defer { later.answers = [] }
      return later.answers
    }
    for (id, response) in answers {
      guard let connection = unsafe names[id], unsafe exchanges[connection]?.response == nil else { continue }
      _ = unsafe respond(response, on: connection)
    }
  }

  private func respond(_ response: HTTPResponse, on connection: OpaquePointer) -> Int32 {
    if response.isForOperator { unsafe knowClient(connection) }
    unsafe exchanges[connection]?.isDispatched = true
    unsafe exchanges[connection]?.response = response
    unsafe lws_callback_on_writable(connection)
    return 0
  }

  /// Writes the headers, then one part of the body for each call.
  private func write(_ connection: OpaquePointer) -> Int32 {
    guard let exchange = unsafe exchanges[connection], let response = exchange.response else { return 0 }
    if !exchange.hasHeaders {
      guard unsafe writeHeaders(response, on: connection) else { return -1 }
      unsafe exchanges[connection]?.hasHeaders = true
      if exchange.request.method == .head || response.body.isEmpty { return unsafe finish(connection) }
      unsafe lws_callback_on_writable(connection)
      return 0
    }
    let end = min(exchange.offset + Self.partSize, response.body.count)
    let isLast = end == response.body.count
    let written = unsafe response.body[exchange.offset..<end].withUnsafeBufferPointer { part in
      guard let start = part.baseAddress else { return Int32(-1) }
      return unsafe cws_write_body(connection, start, UInt32(part.count), isLast)
    }
    guard written >= 0 else { return -1 }
    if isLast { return unsafe finish(connection) }
    unsafe exchanges[connection]?.offset = end
    unsafe lws_set_timeout(connection, PENDING_TIMEOUT_HTTP_CONTENT, Int32(clamping: Self.longestWait.wholeSeconds))
    unsafe lws_callback_on_writable(connection)
    return 0
  }

  private static let partSize = 4096

  private func finish(_ connection: OpaquePointer) -> Int32 {
    unsafe forget(connection)
    return unsafe lws_http_transaction_completed(connection) == 0 ? 0 : -1
  }

  func writeHeaders(_ response: HTTPResponse, on connection: OpaquePointer) -> Bool {
    var headers = unsafe cws_headers()
    guard unsafe cws_start(connection, &headers, response.status, UInt64(response.body.count)) == 0 else {
      return false
    }
    let all = [HTTPField("Content-Type", response.contentType)] + response.headers
    for header in all where unsafe cws_add(connection, &headers, header.name.lowercased() + ":", header.value) != 0 {
      return false
    }
    return unsafe cws_write_headers(connection, &headers) == 0
  }
}
