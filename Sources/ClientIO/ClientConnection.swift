internal import System
internal import NetIO
public import NetworkTypes
internal import STUN
public import TLS

/// A connection to a server over UDP, TCP, TLS or DTLS that carries whole messages: datagrams, or the frames of a
/// stream. Every call blocks until its deadline at most.
public struct ClientConnection: ~Copyable {
  public struct Settings {
    public var transport: TransportProtocol
    public var remote: SocketAddress
    /// Nil: the kernel chooses.
    public var local: SocketAddress?
    /// The name that the certificate must have: a host name or an address.
    public var serverName: String
    /// The context for TLS, or a datagram context for DTLS.
    public var tls: TLSContext?

    public init(
      transport: TransportProtocol, remote: SocketAddress, local: SocketAddress? = nil, serverName: String = "",
      tls: TLSContext? = nil
    ) {
      self.transport = transport
      self.remote = remote
      self.local = local
      self.serverName = serverName
      self.tls = tls
    }
  }

  public let transport: TransportProtocol
  public let remote: SocketAddress
  /// The durations of the TCP connection and of the TLS or DTLS handshake; zero if there was none.
  public let connectDuration: Duration
  public let handshakeDuration: Duration
  /// The result of the TLS or DTLS handshake; nil without one.
  public let tlsSummary: TLSConnectionSummary?

  private let socket: ClientSocket
  private let secure: SecureStream?
  private let datagrams: DatagramLayer?
  /// Received bytes: a datagram, or bytes of a stream that are not yet split into messages.
  private var buffer = [UInt8](repeating: 0, count: bufferByteCount)
  private var start = 0
  private var end = 0
  private var messageRange = 0..<0
  /// The end of the message, including padding.
  private var messageEnd = 0
  private var ciphertext: [UInt8]
  /// Whether a STUN message has arrived. Before it no channel is bound, and "HTTP/1.1 …" must not be read as
  /// ChannelData.
  private var hasSeenMessage = false

  /// Room for two of the largest frames: one in use, one arriving.
  private static let bufferByteCount = 2 * 65_556

  public init(_ settings: Settings, until deadline: Instant) throws(ConnectionFailure) {
    let begin = Instant.read()
    let socket = try Self.open(settings)
    var connectDuration = Duration.zero
    var handshakeDuration = Duration.zero
    var summary: TLSConnectionSummary?
    var secure: SecureStream?
    var datagrams: DatagramLayer?
    var ciphertext: [UInt8] = []
    if settings.transport.isStream {
      guard Readiness.wait(for: socket.rawValue, writing: true, until: deadline) else { throw .timeout(.connecting) }
      if let error = socket.takePendingError() { throw ConnectionFailure(error) }
      let connected = Instant.read()
      connectDuration = connected.duration(since: begin)
      if settings.transport == .tls {
        guard let context = settings.tls else { throw .unsupported(.tls) }
        let layer = try SecureStream(context, settings.serverName)
        ciphertext = [UInt8](repeating: 0, count: 65_536)
        summary = try Self.handshake(layer, over: socket, ciphertext: &ciphertext, until: deadline)
        handshakeDuration = Instant.read().duration(since: connected)
        secure = layer
      }
    } else if settings.transport == .dtls {
      guard let context = settings.tls else { throw .unsupported(.dtls) }
      let layer = try DatagramLayer(context, settings.serverName)
      summary = try layer.handshake(over: socket, until: deadline)
      handshakeDuration = Instant.read().duration(since: begin)
      datagrams = layer
    }
    transport = settings.transport
    remote = settings.remote
    self.socket = socket
    self.connectDuration = connectDuration
    self.handshakeDuration = handshakeDuration
    tlsSummary = summary
    self.secure = secure
    self.datagrams = datagrams
    self.ciphertext = ciphertext
  }

  private static func open(_ settings: Settings) throws(ConnectionFailure) -> ClientSocket {
    do {
      if !settings.transport.isStream { return try .udp(to: settings.remote, from: settings.local) }
      return try .tcp(to: settings.remote, from: settings.local)
    } catch {
      throw ConnectionFailure(error, isBound: settings.local != nil)
    }
  }

  /// The socket's descriptor, for callers that wait for several.
  var descriptor: Int32 { socket.rawValue }

  /// The socket's local address.
  public var localAddress: SocketAddress? { socket.localAddress }

  /// The message that `receive` found, valid until the next call.
  public var message: RawSpan {
    @_lifetime(borrow self)
    get { buffer.span.rawBytes.extracting(messageRange) }
  }
}

// MARK: - The handshake

extension ClientConnection {
  private static func handshake(
    _ secure: SecureStream, over socket: borrowing ClientSocket, ciphertext: inout [UInt8], until deadline: Instant
  ) throws(ConnectionFailure) -> TLSConnectionSummary {
    // A flood must not keep the loop going beyond the deadline.
    while Instant.read() < deadline {
      let result = secure.engine.handshake()
      try secure.flush(over: socket, until: deadline)
      switch result {
      case .complete: return secure.engine.summary
      case .failed(let error): throw .tls(error, secure.engine.summary)
      case .inProgress: break
      }
      guard Readiness.wait(for: socket.rawValue, until: deadline) else { throw .timeout(.handshake) }
      switch receive(from: socket, into: &ciphertext, at: 0, isStream: true) {
      case .bytes(let count): secure.engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
      case .wouldBlock: break
      case .closed: throw .closed
      case .failed(let error): throw ConnectionFailure(error)
      }
    }
    throw .timeout(.handshake)
  }
}

// MARK: - Sending

extension ClientConnection {
  /// Sends one whole message.
  public mutating func send(_ bytes: RawSpan, until deadline: Instant) throws(ConnectionFailure) {
    if let datagrams { return try datagrams.send(bytes, over: socket) }
    guard let secure else {
      try Self.send(bytes, over: socket, isStream: transport.isStream, until: deadline)
      return
    }
    switch secure.engine.write(bytes) {
    case .written: try secure.flush(over: socket, until: deadline)
    case .failed(let error): throw .tls(error, secure.engine.summary)
    case .wouldBlock: throw .timeout(.sending)
    }
  }

  public mutating func send(_ bytes: [UInt8], until deadline: Instant) throws(ConnectionFailure) {
    try send(bytes.span.rawBytes, until: deadline)
  }

  /// Ends the connection; over TLS and DTLS with close_notify.
  public mutating func close() {
    datagrams?.shutdown()
    try? datagrams?.flush(over: socket)
    secure?.engine.shutdown()
    try? secure?.flush(over: socket, until: .read())
  }

  private static func send(
    _ bytes: RawSpan, over socket: borrowing ClientSocket, isStream: Bool, until deadline: Instant
  ) throws(ConnectionFailure) {
    var offset = 0
    repeat {
      let sent: Int
      do {
        sent = try socket.send(bytes.extracting(offset..<bytes.byteCount))
      } catch {
        // The kernel reports an ICMP error of an earlier datagram on this one.
        if !isStream, error == .connectionRefused { throw .refused }
        throw ConnectionFailure(error)
      }
      offset += sent
      if offset < bytes.byteCount, !Readiness.wait(for: socket.rawValue, writing: true, until: deadline) {
        throw .timeout(.sending)
      }
    } while offset < bytes.byteCount
  }
}

// MARK: - Receiving

extension ClientConnection {
  /// Waits for the next message; false if the deadline comes first.
  public mutating func receive(until deadline: Instant) throws(ConnectionFailure) -> Bool {
    start = messageEnd
    messageRange = 0..<0
    var isLate = false
    while true {
      if transport.isStream {
        if try takeFrame() { return true }
      }
      switch try receiveSome() {
      case .bytes(let count) where !transport.isStream:
        messageRange = 0..<count
        return true
      case .bytes: continue
      case .wouldBlock:
        guard !isLate, Readiness.wait(for: socket.rawValue, until: deadline) else { return false }
        // A flood of bytes without a message must not extend the loop: after the deadline it reads once more, then
        // ends.
        isLate = Instant.read() >= deadline
      case .closed: throw .closed
      case .failed(let error): throw ConnectionFailure(error)
      }
    }
  }

  /// Takes a frame from the beginning of the received bytes.
  private mutating func takeFrame() throws(ConnectionFailure) -> Bool {
    if start == end {
      start = 0
      end = 0
      messageEnd = 0
    }
    switch StreamFrame(buffer.span.rawBytes.extracting(start..<end), allowsChannelData: hasSeenMessage) {
    case .incomplete(let missing):
      // Moves the received bytes to the front, to make room for the rest of the frame.
      if end + missing > buffer.count { compact() }
      return false
    case .message(let count):
      hasSeenMessage = true
      messageRange = start..<(start + count)
      messageEnd = start + count
      return true
    case .channelData(let count, let padded):
      messageRange = start..<(start + count)
      messageEnd = start + padded
      return true
    case .invalid: throw .notSTUN
    }
  }

  private mutating func compact() {
    let count = end - start
    for index in 0..<count { buffer[index] = buffer[start + index] }
    start = 0
    end = count
    messageEnd = 0
  }

  /// Reads bytes that have arrived: appends them (streams), or overwrites earlier ones (datagrams).
  private mutating func receiveSome() throws(ConnectionFailure) -> ReadResult<Errno> {
    if let datagrams { return try datagrams.receive(from: socket, into: &buffer) }
    guard transport.isStream else { return Self.receive(from: socket, into: &buffer, at: 0, isStream: false) }
    guard let secure else {
      let result = Self.receive(from: socket, into: &buffer, at: end, isStream: true)
      if case .bytes(let count) = result { end += count }
      return result
    }
    for _ in 0..<Self.burstLimit {
      switch secure.read(into: &buffer, at: end) {
      case .bytes(let count):
        end += count
        return .bytes(count)
      case .closed: return .closed
      case .failed(let error):
        try? secure.flush(over: socket, until: .read())
        throw .tls(error, secure.engine.summary)
      case .wouldBlock: break
      }
      // Sends TLS's own answers, such as a key update.
      try secure.flush(over: socket, until: Instant.read().advanced(by: .seconds(1)))
      let result = Self.receive(from: socket, into: &ciphertext, at: 0, isStream: true)
      guard case .bytes(let count) = result else { return result }
      secure.engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
    }
    return .wouldBlock
  }

  /// Limit of reads without plaintext before the deadline is checked.
  private static let burstLimit = 64

  private static func receive(
    from socket: borrowing ClientSocket, into buffer: inout [UInt8], at offset: Int, isStream: Bool
  ) -> ReadResult<Errno> {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    var room = bytes._mutatingExtracting(offset..<bytes.byteCount)
    return socket.receive(into: &room, isStream: isStream)
  }
}
