internal import COpenSSL
public import System

/// One TLS connection without a socket. The caller passes the transport's bytes in and out, and reads and writes
/// plaintext.
///
/// After every `receive`, call `read` until it returns `wouldBlock`; after every call, send `output` and call
/// `consumeOutput`. A server needs nothing else: reading continues the handshake. A client begins with `handshake()`,
/// which adds its first flight to the output. An engine belongs to one thread at a time.
@safe
public struct TLSEngine: ~Copyable, Sendable {
  // `connection` and `state` are owned by this noncopyable value alone and freed in deinit; they change threads only
  // together with it.
  nonisolated(unsafe) let connection: OpaquePointer
  nonisolated(unsafe) let state: UnsafeMutablePointer<EngineState>
  /// OpenSSL's callbacks use this object. A connection's own reference keeps only the SSL_CTX alive.
  private let context: TLSContext
  /// The error that ended this connection; nil if none did.
  public private(set) var failure: TLSError?
  private(set) var isOver = false

  /// Limit of received bytes that wait to be read.
  public static let inputLimit = 256 << 10
  /// Nothing more is written while this many bytes wait to be sent.
  public static let outputLimit = 256 << 10
  /// The largest plaintext of one `write`.
  public static let writeLimit = 1 << 20
  /// `outputLimit`, plus one write with the overhead of its records, plus a flight of handshake messages.
  static let outputHardLimit = outputLimit + writeLimit + 256 << 10

  /// Makes the server's side of a connection.
  public init(server context: TLSContext) throws(TLSError) {
    precondition(context.role == .server, "a client's context can't serve")
    let parts = try unsafe Parts(context)
    self.context = context
    unsafe SSL_set_accept_state(parts.connection)
    unsafe connection = parts.connection
    unsafe state = parts.state
  }

  /// Makes the client's side of a connection to `serverName`, a host name (verified, and sent as SNI) or an IP address
  /// (verified). It offers ALPN labels such as `stun.turn`.
  public init(
    client context: TLSContext, serverName: String, applicationProtocols: [String] = []
  ) throws(TLSError) {
    precondition(context.role == .client, "a server's context can't be a client's")
    let parts = try unsafe Parts(context)
    unsafe SSL_set_connect_state(parts.connection)
    guard unsafe PeerVerification.expect(serverName, on: parts.connection) else {
      unsafe parts.free()
      throw TLSError(.certificate, "\"\(serverName)\" can't be the name of a TLS server")
    }
    let labels = applicationProtocols.filter { (1...255).contains($0.utf8.count) }
      .flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    if !labels.isEmpty { _ = unsafe SSL_set_alpn_protos(parts.connection, labels, UInt32(labels.count)) }
    self.context = context
    unsafe connection = parts.connection
    unsafe state = parts.state
  }

  deinit { unsafe Parts(connection: connection, state: state).free() }

  /// Whether this is a server's side that requires a certificate from its client.
  var requestsCertificate: Bool { context.requiresClientCertificate }
}

/// The C objects that an engine owns, while it is created and when it is freed.
@unsafe
private struct Parts {
  let connection: OpaquePointer
  let state: UnsafeMutablePointer<EngineState>

  init(connection: OpaquePointer, state: UnsafeMutablePointer<EngineState>) {
    unsafe self.connection = connection
    unsafe self.state = state
  }

  init(_ context: TLSContext) throws(TLSError) {
    OpenSSLErrors.clear()
    guard let connection = unsafe SSL_new(context.handle) else {
      throw TLSError(.library, OpenSSLErrors.drain() ?? "out of memory")
    }
    let state = UnsafeMutablePointer<EngineState>.allocate(capacity: 1)
    unsafe state.initialize(to: EngineState())
    unsafe self.connection = connection
    unsafe self.state = state
    guard let bio = unsafe context.isDatagram ? DatagramBIO.make(over: state) : EngineBIO.make(over: state),
      unsafe SSL_set_ex_data(connection, 0, state) == 1
    else {
      unsafe free()
      throw TLSError(.library, OpenSSLErrors.drain() ?? "out of memory")
    }
    // Both directions use one BIO; the connection takes over its only reference.
    unsafe SSL_set_bio(connection, bio, bio)
    if context.isDatagram { _ = unsafe SSL_ctrl(connection, SSL_CTRL_SET_MTU, DTLSEngine.flightByteCount, nil) }
  }

  func free() {
    unsafe SSL_free(connection)
    unsafe state.pointee.destroy()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
    OpenSSLErrors.clear()
  }
}

// MARK: - Bytes of the transport

extension TLSEngine {
  /// Receives bytes from the transport. False, with `failure` set, if more arrive than are read.
  @discardableResult
  public mutating func receive(_ ciphertext: RawSpan) -> Bool {
    guard !isOver else { return false }
    guard ciphertext.byteCount > 0 else { return true }
    let isTaken = unsafe ciphertext.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return true }
      return unsafe state.pointee.input.append(base, source.count)
    }
    if !isTaken { fail(TLSError(.limit, "more bytes were received than read")) }
    return isTaken
  }

  /// The bytes that the transport must send now (records, handshake messages, alerts); usually none.
  public var output: RawSpan {
    @_lifetime(borrow self)
    get {
      let waiting = unsafe state.pointee.output.bytes
      // Sound: the bytes change only through mutating methods, which cannot be called while the span is borrowed.
      let span = unsafe RawSpan(_unsafeBytes: waiting)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Whether output waits to be sent.
  public var hasOutput: Bool { outputByteCount > 0 }

  /// The number of bytes that wait to be sent.
  public var outputByteCount: Int { unsafe state.pointee.output.count }

  /// Removes the first `count` bytes of the output after they have been sent.
  public mutating func consumeOutput(_ count: Int) { unsafe state.pointee.output.consume(count) }

  /// Releases memory that an idle connection does not need.
  public mutating func releaseBuffers() {
    unsafe state.pointee.input.release(keeping: 0)
    unsafe state.pointee.output.release(keeping: 0)
  }
}

// MARK: - Plaintext

extension TLSEngine {
  /// Reads plaintext of one record or a part of it; the span must not be empty. Continues the handshake until it is
  /// complete.
  public mutating func read(into plaintext: inout MutableRawSpan) -> ReadResult<TLSError> {
    if let failure { return .failed(failure) }
    guard !isOver else { return .closed }
    ERR_clear_error()
    let connection = unsafe connection
    let count = unsafe plaintext.withUnsafeMutableBytes { buffer in
      unsafe SSL_read(connection, buffer.baseAddress, CInt(clamping: buffer.count))
    }
    if count > 0 {
      unsafe state.pointee.messagesWithoutData = 0
      return .bytes(Int(count))
    }
    if let flood = failOfMessageFlood() { return .failed(flood) }
    switch unsafe SSL_get_error(connection, count) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
    case SSL_ERROR_ZERO_RETURN: return .closed
    default: return .failed(failFromErrorQueue())
    }
  }

  /// The result of `write`.
  public enum WriteResult: Equatable, Sendable {
    /// The whole plaintext is in the output, encrypted.
    case written
    /// Nothing was written: the handshake is not complete, or the output must be sent first.
    case wouldBlock
    case failed(TLSError)
  }

  /// Encrypts the whole plaintext (at most `writeLimit` bytes) into the output, or nothing.
  public mutating func write(_ plaintext: RawSpan) -> WriteResult {
    if let failure { return .failed(failure) }
    guard !isOver else { return .failed(TLSError(.record, "the connection is already closed")) }
    guard plaintext.byteCount > 0 else { return .written }
    guard isEstablished, outputByteCount < Self.outputLimit else { return .wouldBlock }
    guard plaintext.byteCount <= Self.writeLimit else { return .failed(TLSError(.limit, "one write too large")) }
    ERR_clear_error()
    let connection = unsafe connection
    let count = unsafe plaintext.withUnsafeBytes { buffer in
      unsafe SSL_write(connection, buffer.baseAddress, CInt(buffer.count))
    }
    return count == CInt(plaintext.byteCount) ? .written : .failed(failFromErrorQueue())
  }

  /// Ends our direction: adds a close_notify to the output.
  public mutating func shutdown() {
    guard failure == nil, !isOver else { return }
    ERR_clear_error()
    if isEstablished { _ = unsafe SSL_shutdown(connection) }
    isOver = true
    OpenSSLErrors.clear()
  }
}

// MARK: - Handshake

extension TLSEngine {
  /// The certificate from the verification callback, for a refused handshake.
  var refusedCertificate: OpaquePointer? { unsafe state.pointee.peerCertificate }

  /// The result of `handshake`.
  public enum HandshakeResult: Equatable, Sendable {
    case complete
    case inProgress
    case failed(TLSError)
  }

  /// Whether the handshake is complete, so that plaintext can be written.
  public var isEstablished: Bool { unsafe SSL_is_init_finished(connection) == 1 }

  /// Continues the handshake with the received bytes. A client's first call makes its first flight.
  @discardableResult
  public mutating func handshake() -> HandshakeResult {
    if let failure { return .failed(failure) }
    if isEstablished { return .complete }
    guard !isOver else { return .failed(TLSError(.handshake, "closed before the handshake was complete")) }
    ERR_clear_error()
    let result = unsafe SSL_do_handshake(connection)
    if let flood = failOfMessageFlood() { return .failed(flood) }
    if result == 1 { return .complete }
    switch unsafe SSL_get_error(connection, result) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .inProgress
    default: return .failed(failFromErrorQueue())
    }
  }

  mutating func fail(_ error: TLSError) {
    if failure == nil { failure = error }
    isOver = true
  }

  mutating func failFromErrorQueue() -> TLSError {
    let first = OpenSSLErrors.drainWithAlert()
    let reason = first?.reason
    let error: TLSError
    if let complaint = unsafe PeerVerification.complaint(about: connection),
      reason?.contains("certificate verify failed") == true
    {
      error = TLSError(.certificate, complaint)
    } else if let reason {
      let isAboutCertificate = reason.contains("certificate") || reason.contains("unknown ca")
      error = TLSError(
        isAboutCertificate ? .certificate : isEstablished ? .record : .handshake, reason, alert: first?.alert)
    } else {
      error = TLSError(.library, "OpenSSL gave no reason")
    }
    fail(error)
    return error
  }
}
