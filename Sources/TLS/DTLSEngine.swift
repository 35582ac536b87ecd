internal import COpenSSL
internal import NetworkTypes

/// One DTLS 1.2 association without a socket (RFC 6347, RFC 7350): datagrams go in and come out, plaintext comes out
/// and goes in, a message a record.
///
/// A server keeps one engine that only listens: every datagram from an unknown source goes through `listen`, which
/// answers without remembering anything until a client has shown its cookie; then this engine is that client's
/// association, and the server makes itself another one to listen with. After every call, send each `datagram` and
/// `removeDatagram`. Belongs to one thread at a time.
@safe
public struct DTLSEngine: ~Copyable, Sendable {
  private var core: TLSEngine

  /// The most that one datagram of a handshake holds: it gets through every path of IPv6 (1,280 bytes) with its headers.
  static let flightByteCount = 1200
  /// The largest plaintext of one record, and so of one message.
  public static let messageLimit = 16_384

  /// A server's engine that listens.
  ///
  /// - Parameter cookieKey: 32 random bytes, shared by all of a server's engines.
  public init(server context: TLSContext, cookieKey: [UInt8]) throws(TLSError) {
    precondition(context.isDatagram, "a context for TLS can't serve DTLS")
    core = try TLSEngine(server: context)
    unsafe core.state.pointee.cookie = HelloCookie(key: cookieKey)
  }

  /// The client's end, which begins with `handshake()`; names and labels as `TLSEngine` takes them.
  public init(
    client context: TLSContext, serverName: String, applicationProtocols: [String] = []
  ) throws(TLSError) {
    precondition(context.isDatagram, "a context for TLS can't speak DTLS")
    core = try TLSEngine(client: context, serverName: serverName, applicationProtocols: applicationProtocols)
  }

  public enum ListenResult: Equatable, Sendable {
    /// Nothing that needs an answer: no hello, or a broken one.
    case ignored
    /// The output holds a HelloVerifyRequest, smaller than what it answers.
    case cookieAsked
    /// The client is where it says, and this engine is its association now: go on with `read`.
    case verified
  }

  /// Looks at a datagram of somebody unknown (RFC 6347 section 4.2.1). Nothing is kept of it unless `verified`.
  ///
  /// - Parameters:
  ///   - peer: bytes that stand for the source's transport address.
  ///   - seconds: of any clock that never goes back.
  public mutating func listen(_ datagram: RawSpan, from peer: [UInt8], at seconds: UInt64) -> ListenResult {
    unsafe core.state.pointee.cookie?.peer = peer
    unsafe core.state.pointee.cookie?.period = seconds / 60
    put(datagram)
    ERR_clear_error()
    guard let scratch = unsafe BIO_ADDR_new() else { return .ignored }
    defer { unsafe BIO_ADDR_free(scratch) }
    let result = unsafe DTLSv1_listen(core.connection, scratch)
    ErrorQueue.clear()
    if result > 0 { return .verified }
    discardInput()
    return core.hasOutput ? .cookieAsked : .ignored
  }

  /// Takes one datagram of the association's peer; `read` it out before the next.
  public mutating func receive(_ datagram: RawSpan) { put(datagram) }

  private mutating func put(_ datagram: RawSpan) {
    // What is left of the one before is what OpenSSL did not want.
    discardInput()
    core.receive(datagram)
  }

  private mutating func discardInput() {
    let waiting = unsafe core.state.pointee.input.count
    unsafe core.state.pointee.input.consume(waiting)
  }

  /// Takes the plaintext of one record; drives the handshake until it is done.
  public mutating func read(into plaintext: inout MutableRawSpan) -> TLSEngine.ReadResult {
    core.read(into: &plaintext)
  }

  /// Encrypts one message (at most `messageLimit` bytes) into one datagram of the output.
  public mutating func write(_ plaintext: RawSpan) -> TLSEngine.WriteResult {
    guard plaintext.byteCount <= Self.messageLimit else { return .failed(TLSError(.limit, "one message too large")) }
    return core.write(plaintext)
  }

  /// Says that we will send nothing more: a close_notify goes into the output.
  public mutating func shutdown() { core.shutdown() }

  // MARK: - Output

  public var hasOutput: Bool { core.hasOutput }

  /// The next datagram to send; empty where there is none.
  public var datagram: RawSpan {
    @_lifetime(borrow self)
    get {
      let waiting = core.output
      guard let count = Self.length(of: waiting) else { return waiting.extracting(first: 0) }
      return waiting.extracting(droppingFirst: DatagramBIO.lengthByteCount).extracting(first: count)
    }
  }

  /// Forgets `datagram`: it has been sent.
  public mutating func removeDatagram() {
    guard let count = Self.length(of: core.output) else { return }
    core.consumeOutput(DatagramBIO.lengthByteCount + count)
  }

  /// The next datagram, copied and forgotten; nil where there is none.
  public mutating func takeDatagram() -> [UInt8]? {
    guard hasOutput else { return nil }
    defer { removeDatagram() }
    return datagram.copied()
  }

  private static func length(of output: RawSpan) -> Int? {
    guard output.byteCount >= DatagramBIO.lengthByteCount else { return nil }
    let length = Int(unsafe output.unsafeLoadUnaligned(as: UInt16.self))
    return min(length, output.byteCount - DatagramBIO.lengthByteCount)
  }

  /// Gives back what memory an idle association can do without.
  public mutating func releaseBuffers() { core.releaseBuffers() }

  // MARK: - Handshake

  public var isEstablished: Bool { core.isEstablished }

  /// What ended this association, if something did.
  public var failure: TLSError? { core.failure }

  /// Goes as far as the received datagram allows. A client's first call makes its first flight.
  @discardableResult
  public mutating func handshake() -> TLSEngine.HandshakeResult { core.handshake() }

  /// Milliseconds until `handleTimeout` is due; nil while no answer is awaited.
  public var timeout: Int? {
    let left = unsafe copenssl_datagram_timeout(core.connection)
    return left < 0 ? nil : left
  }

  /// Sends the last flight once more if its time has come. False where it has been sent often enough.
  public mutating func handleTimeout() -> Bool {
    ERR_clear_error()
    guard unsafe copenssl_handle_datagram_timeout(core.connection) < 0 else { return true }
    _ = core.failFromErrorQueue()
    return false
  }

  /// Makes every time-out of the handshake 40 ms (OpenSSL takes less than 15 for none), instead of one second and twice
  /// as much each time: tests have no other way to OpenSSL's clock.
  package func makeImpatient() {
    unsafe DTLS_set_timer_cb(core.connection) { _, _ in 40_000 }
  }

  /// What the handshake came to; of use once it is done, or has failed on the certificate.
  public var summary: TLSConnectionSummary { core.summary }

  /// The name that the client asked for (SNI); nil: none.
  public var requestedServerName: String? { core.requestedServerName }
}
