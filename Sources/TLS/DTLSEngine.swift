internal import COpenSSL
public import NetworkTypes
public import System

/// One DTLS 1.2 association without a socket (RFC 6347, RFC 7350). The caller passes datagrams in and takes datagrams
/// out; each record holds one message of plaintext.
///
/// A server keeps one engine that only listens: every datagram from an unknown source goes through `listen`, which
/// answers without keeping state until a client has returned its cookie. Then this engine becomes that client's
/// association, and the server makes a new one to listen with. After every call, send each `datagram` and call
/// `removeDatagram`. An engine belongs to one thread at a time.
@safe
public struct DTLSEngine: ~Copyable, Sendable {
  private var core: TLSEngine

  /// Largest datagram of a handshake: with headers it fits the minimum MTU of IPv6, 1,280 bytes.
  static let flightByteCount = 1200
  /// The largest plaintext of one record, and so of one message.
  public static let messageLimit = 16_384

  /// Makes a server's listening engine.
  ///
  /// - Parameter cookieKey: shared by all of a server's engines.
  public init(server context: TLSContext, cookieKey: HelloCookieKey) throws(TLSError) {
    precondition(context.isDatagram, "a context for TLS can't serve DTLS")
    core = try TLSEngine(server: context)
    unsafe core.state.pointee.cookie = HelloCookie(key: cookieKey)
  }

  /// Makes a client's engine, which begins with `handshake()`; names and labels are as for `TLSEngine`.
  public init(
    client context: TLSContext, serverName: String, applicationProtocols: [String] = []
  ) throws(TLSError) {
    precondition(context.isDatagram, "a context for TLS can't speak DTLS")
    core = try TLSEngine(client: context, serverName: serverName, applicationProtocols: applicationProtocols)
  }

  /// The result of `listen`.
  public enum ListenResult: Equatable, Sendable {
    /// No answer: the datagram holds no valid ClientHello.
    case ignored
    /// The output holds a HelloVerifyRequest, which is smaller than the ClientHello.
    case cookieAsked
    /// The client has proved its address, and this engine is its association now: continue with `read`.
    case verified
  }

  /// Handles a datagram of an unknown client (RFC 6347 section 4.2.1). No state is kept unless the result is
  /// `verified`.
  ///
  /// - Parameter peer: the bytes of the source's transport address.
  public mutating func listen(_ datagram: RawSpan, from peer: [UInt8], at now: Instant) -> ListenResult {
    unsafe core.state.pointee.cookie?.peer = peer
    unsafe core.state.pointee.cookie?.period = now.nanoseconds / 60_000_000_000
    put(datagram)
    ERR_clear_error()
    guard let scratch = unsafe BIO_ADDR_new() else { return .ignored }
    defer { unsafe BIO_ADDR_free(scratch) }
    let result = unsafe DTLSv1_listen(core.connection, scratch)
    OpenSSLErrors.clear()
    if result > 0 {
      releaseRecordBuffers()
      return .verified
    }
    discardInput()
    return core.hasOutput ? .cookieAsked : .ignored
  }

  /// Receives one datagram of the association's peer; call `read` before the next. False if the datagram is dropped
  /// before OpenSSL sees it, because no client needs to send it.
  @discardableResult
  public mutating func receive(_ datagram: RawSpan) -> Bool {
    guard !hasStub(datagram), !asksForTooMuch(datagram) else {
      discardInput()
      return false
    }
    put(datagram)
    return true
  }

  /// Encrypted datagrams before the end of the handshake. OpenSSL keeps a record buffer for each.
  private var earlyDatagrams = 0
  private static let earlyDatagramLimit = 4

  /// The memory of OpenSSL for this association.
  public var heldByteCount: Int {
    Self.byteCount + (isEstablished ? 0 : earlyDatagrams * Self.recordBufferByteCount + certificateByteCount)
  }

  /// The memory that OpenSSL may keep of a client's Certificate and CertificateVerify.
  private var certificateByteCount: Int {
    core.requestsCertificate ? 2 * HandshakeFragments.longestCertificate : 0
  }

  /// The bytes of an association, measured with a chain of 4 KiB. They are the same before and after the end of the
  /// handshake: what a step keeps for the next one is as large as the record buffers of an established association.
  static let byteCount = 52 << 10
  /// The memory that OpenSSL allocates for one record.
  static let recordBufferByteCount = 17 << 10

  /// Frees OpenSSL's two record buffers until the next step of the handshake. OpenSSL keeps a datagram that it has not
  /// finished reading, and then the buffers stay.
  private func releaseRecordBuffers() {
    if !isEstablished { _ = unsafe SSL_free_buffers(core.connection) }
  }

  /// Makes the buffers before OpenSSL writes, because for DTLS it makes them only when it reads.
  private func allocateRecordBuffers() { _ = unsafe SSL_alloc_buffers(core.connection) }

  /// Whether a datagram makes OpenSSL keep more than a handshake needs.
  private mutating func asksForTooMuch(_ datagram: RawSpan) -> Bool {
    guard !isEstablished, unsafe SSL_is_server(core.connection) == 1 else { return false }
    switch HandshakeFragments(datagram, hasCertificate: core.requestsCertificate) {
    case .plain: return false
    case .excessive: return true
    case .encrypted:
      earlyDatagrams += 1
      return earlyDatagrams > Self.earlyDatagramLimit
    }
  }

  /// Whether an encrypted record is too short for nonce and tag. RFC 6347 section 4.1.2.7 requires that invalid records
  /// are ignored, but OpenSSL 3.0 ends the association for a short one, which an attacker who knows the addresses can
  /// forge.
  private func hasStub(_ datagram: RawSpan) -> Bool {
    var offset = 0
    while offset + 13 <= datagram.byteCount {
      let epoch = datagram.bigEndian16(at: offset + 3)
      let length = Int(datagram.bigEndian16(at: offset + 11))
      if epoch > 0, length < Self.shortestRecord, length < 16 || !hasImplicitNonce { return true }
      offset += 13 + length
    }
    return false
  }

  /// AES-GCM sends 8 bytes of nonce and 16 of tag; ChaCha20-Poly1305 sends the tag only.
  private static let shortestRecord = 24

  private var hasImplicitNonce: Bool {
    guard let cipher = unsafe SSL_get_current_cipher(core.connection) else { return false }
    return unsafe SSL_CIPHER_get_cipher_nid(cipher) == NID_chacha20_poly1305
  }

  private mutating func put(_ datagram: RawSpan) {
    // Drops what OpenSSL has not read of the previous datagram.
    discardInput()
    core.receive(datagram)
  }

  private mutating func discardInput() {
    let waiting = unsafe core.state.pointee.input.count
    unsafe core.state.pointee.input.consume(waiting)
  }

  /// Reads the plaintext of one record; continues the handshake until it is complete.
  public mutating func read(into plaintext: inout MutableRawSpan) -> ReadResult<TLSError> {
    guard !isEstablished else { return core.read(into: &plaintext) }
    allocateRecordBuffers()
    defer { releaseRecordBuffers() }
    return core.read(into: &plaintext)
  }

  /// Encrypts one message (at most `messageLimit` bytes) into one datagram of the output.
  public mutating func write(_ plaintext: RawSpan) -> TLSEngine.WriteResult {
    guard plaintext.byteCount <= Self.messageLimit else { return .failed(TLSError(.limit, "one message too large")) }
    return core.write(plaintext)
  }

  /// Ends our direction: adds a close_notify to the output.
  public mutating func shutdown() { core.shutdown() }

  // MARK: - Output

  /// Whether a datagram waits to be sent.
  public var hasOutput: Bool { core.hasOutput }

  /// The next datagram to send; empty if there is none.
  public var datagram: RawSpan {
    @_lifetime(borrow self)
    get {
      let waiting = core.output
      guard let count = Self.length(of: waiting) else { return waiting.extracting(first: 0) }
      return waiting.extracting(droppingFirst: DatagramBIO.lengthByteCount).extracting(first: count)
    }
  }

  /// Removes `datagram` after it has been sent.
  public mutating func removeDatagram() {
    guard let count = Self.length(of: core.output) else { return }
    core.consumeOutput(DatagramBIO.lengthByteCount + count)
  }

  /// Removes the next datagram and returns a copy; nil if there is none.
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

  /// Releases memory that an idle association does not need.
  public mutating func releaseBuffers() { core.releaseBuffers() }

  // MARK: - Handshake

  /// Whether the handshake is complete.
  public var isEstablished: Bool { core.isEstablished }

  /// The error that ended this association; nil if none did.
  public var failure: TLSError? { core.failure }

  /// Continues the handshake with the received datagram. A client's first call makes its first flight.
  @discardableResult
  public mutating func handshake() -> TLSEngine.HandshakeResult {
    guard !isEstablished else { return core.handshake() }
    allocateRecordBuffers()
    defer { releaseRecordBuffers() }
    return core.handshake()
  }

  /// The time until `handleTimeout` must be called; nil if no answer is awaited.
  public var timeout: Duration? {
    let milliseconds = unsafe copenssl_datagram_timeout(core.connection)
    return milliseconds < 0 ? nil : .milliseconds(milliseconds)
  }

  /// Retransmits the last flight if its timer has expired. False after too many retransmissions.
  public mutating func handleTimeout() -> Bool {
    ERR_clear_error()
    allocateRecordBuffers()
    defer { releaseRecordBuffers() }
    guard unsafe copenssl_handle_datagram_timeout(core.connection) < 0 else { return true }
    _ = core.failFromErrorQueue()
    return false
  }

  /// Sets every timeout of the handshake to 40 ms, in place of one second with doubling, for tests: they cannot replace
  /// OpenSSL's clock. OpenSSL treats less than 15 ms as none.
  package func makeImpatient() {
    unsafe DTLS_set_timer_cb(core.connection) { _, _ in 40_000 }
  }

  /// The result of the handshake; valid after its end, or after a failure about the certificate.
  public var summary: TLSConnectionSummary { core.summary }

  /// The name that the client requested (SNI); nil if none.
  public var requestedServerName: String? { core.requestedServerName }
}
