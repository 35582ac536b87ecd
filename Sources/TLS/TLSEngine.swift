internal import COpenSSL

/// One TLS connection without a socket: bytes of the transport go in and come out, plaintext comes out and goes in.
///
/// After every `receive`, `read` until it says `wouldBlock`; after every call, send what `output` holds and
/// `consumeOutput`. The server's side needs nothing else: reading drives the handshake. A client begins with
/// `handshake()`, which puts its first flight into the output. Belongs to one thread at a time.
@safe
public struct TLSEngine: ~Copyable, Sendable {
  // Owned alone and freed in deinit; they change threads only together with this noncopyable value.
  nonisolated(unsafe) let connection: OpaquePointer
  nonisolated(unsafe) let state: UnsafeMutablePointer<EngineState>
  /// What ended this connection, if something did.
  public private(set) var failure: TLSError?
  private var isOver = false

  /// How many received bytes may wait to be read.
  public static let inputLimit = 256 << 10
  /// Nothing more is written while this many bytes wait to be sent.
  public static let outputLimit = 256 << 10
  /// The largest plaintext of one `write`.
  public static let writeLimit = 1 << 20
  /// The limit, one write with the overhead of its records, a flight of handshake messages.
  static let outputHardLimit = outputLimit + writeLimit + 256 << 10

  /// The server's end of a connection.
  public init(server context: TLSContext) throws(TLSError) {
    precondition(context.role == .server, "a client's context can't serve")
    let parts = try unsafe Parts(context)
    unsafe SSL_set_accept_state(parts.connection)
    unsafe connection = parts.connection
    unsafe state = parts.state
  }

  /// The client's end of a connection to `serverName`, a host name (verified, and sent as SNI) or an IP address
  /// (verified), offering ALPN labels such as `stun.turn`.
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
    unsafe connection = parts.connection
    unsafe state = parts.state
  }

  deinit { unsafe Parts(connection: connection, state: state).free() }
}

/// What an engine owns, while it is being made and when it goes.
@unsafe
private struct Parts {
  let connection: OpaquePointer
  let state: UnsafeMutablePointer<EngineState>

  init(connection: OpaquePointer, state: UnsafeMutablePointer<EngineState>) {
    unsafe self.connection = connection
    unsafe self.state = state
  }

  init(_ context: TLSContext) throws(TLSError) {
    ErrorQueue.clear()
    guard let connection = unsafe SSL_new(context.handle) else {
      throw TLSError(.library, ErrorQueue.drain() ?? "out of memory")
    }
    let state = UnsafeMutablePointer<EngineState>.allocate(capacity: 1)
    unsafe state.initialize(to: EngineState())
    unsafe self.connection = connection
    unsafe self.state = state
    guard let bio = unsafe context.isDatagram ? DatagramBIO.make(over: state) : EngineBIO.make(over: state), unsafe SSL_set_ex_data(connection, 0, state) == 1 else {
      unsafe free()
      throw TLSError(.library, ErrorQueue.drain() ?? "out of memory")
    }
    // Both directions are one BIO, of which the connection takes the one reference.
    unsafe SSL_set_bio(connection, bio, bio)
    if context.isDatagram { _ = unsafe SSL_ctrl(connection, SSL_CTRL_SET_MTU, DTLSEngine.flightByteCount, nil) }
  }

  func free() {
    unsafe SSL_free(connection)
    unsafe state.pointee.destroy()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
    ErrorQueue.clear()
  }
}

// MARK: - Bytes of the transport

extension TLSEngine {
  /// Takes bytes that the transport received. False, with `failure` set, where more came in than was read.
  @discardableResult
  public mutating func receive(_ ciphertext: RawSpan) -> Bool {
    guard !isOver else { return false }
    guard ciphertext.byteCount > 0 else { return true }
    let isTaken = unsafe ciphertext.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return true }
      return unsafe state.pointee.input.append(base, source.count)
    }
    if !isTaken { fail(TLSError(.limit, "more was received than was read")) }
    return isTaken
  }

  /// What the transport should send now: records, handshake messages, alerts. Empty most of the time.
  public var output: RawSpan {
    @_lifetime(borrow self)
    get {
      let waiting = unsafe state.pointee.output.bytes
      // Sound: the bytes change only through mutating methods, which can't be called while the span is borrowed.
      let span = unsafe RawSpan(_unsafeBytes: waiting)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Whether something waits to be sent.
  public var hasOutput: Bool { outputByteCount > 0 }

  /// How many bytes wait to be sent.
  public var outputByteCount: Int { unsafe state.pointee.output.count }

  /// Forgets the first `count` bytes of the output: they have been sent.
  public mutating func consumeOutput(_ count: Int) { unsafe state.pointee.output.consume(count) }

  /// Gives back what memory an idle connection can do without.
  public mutating func releaseBuffers() {
    unsafe state.pointee.input.release(keeping: 0)
    unsafe state.pointee.output.release(keeping: 0)
  }
}

// MARK: - Plaintext

extension TLSEngine {
  public enum ReadResult: Equatable, Sendable {
    /// So many bytes of plaintext are at the beginning of the span.
    case bytes(Int)
    /// Nothing more until more is received.
    case wouldBlock
    /// The peer said that it will send nothing more (close_notify).
    case closed
    /// The connection is broken: send the output (an alert), then close.
    case failed(TLSError)
  }

  /// Takes plaintext of one record or a part of it; the span must not be empty. Drives the handshake until it is
  /// done.
  public mutating func read(into plaintext: inout MutableRawSpan) -> ReadResult {
    if let failure { return .failed(failure) }
    guard !isOver else { return .closed }
    ERR_clear_error()
    let connection = unsafe connection
    let count = unsafe plaintext.withUnsafeMutableBytes { buffer in
      unsafe SSL_read(connection, buffer.baseAddress, CInt(clamping: buffer.count))
    }
    if count > 0 { return .bytes(Int(count)) }
    switch unsafe SSL_get_error(connection, count) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
    case SSL_ERROR_ZERO_RETURN: return .closed
    default: return .failed(failFromErrorQueue())
    }
  }

  public enum WriteResult: Equatable, Sendable {
    /// All of it is in the output.
    case written
    /// None of it was taken: the handshake is not done, or the output must be sent first.
    case wouldBlock
    case failed(TLSError)
  }

  /// Encrypts the plaintext (at most `writeLimit` bytes) into the output, all of it or nothing.
  public mutating func write(_ plaintext: RawSpan) -> WriteResult {
    if let failure { return .failed(failure) }
    guard !isOver else { return .failed(TLSError(.record, "written after the end")) }
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

  /// Says that we will send nothing more: a close_notify goes into the output.
  public mutating func shutdown() {
    guard failure == nil, !isOver else { return }
    ERR_clear_error()
    if isEstablished { _ = unsafe SSL_shutdown(connection) }
    isOver = true
    ErrorQueue.clear()
  }
}

// MARK: - Handshake

extension TLSEngine {
  /// The certificate that the verification callback kept.
  var refusedCertificate: OpaquePointer? { unsafe state.pointee.peerCertificate }

  public enum HandshakeResult: Equatable, Sendable {
    case complete
    case inProgress
    case failed(TLSError)
  }

  /// Whether the handshake is done, so that plaintext can be written.
  public var isEstablished: Bool { unsafe SSL_is_init_finished(connection) == 1 }

  /// Goes as far as the received bytes allow. A client's first call makes its first flight.
  @discardableResult
  public mutating func handshake() -> HandshakeResult {
    if let failure { return .failed(failure) }
    if isEstablished { return .complete }
    guard !isOver else { return .failed(TLSError(.handshake, "closed before the handshake was done")) }
    ERR_clear_error()
    let result = unsafe SSL_do_handshake(connection)
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
    let reason = ErrorQueue.drain()
    let error: TLSError
    if unsafe SSL_is_server(connection) == 0, let complaint = unsafe PeerVerification.complaint(about: connection),
      reason?.contains("certificate verify failed") == true
    {
      error = TLSError(.certificate, complaint)
    } else if let reason {
      let isAboutCertificate = reason.contains("certificate") || reason.contains("unknown ca")
      error = TLSError(isAboutCertificate ? .certificate : isEstablished ? .record : .handshake, reason)
    } else {
      error = TLSError(.library, "OpenSSL gave no reason")
    }
    fail(error)
    return error
  }
}
