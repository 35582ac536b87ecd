import Crypto
import NetIO
import NetworkTypes
import STUN
import TLS

/// One end of a byte stream for tests: TCP, or TLS over it, that blocks with a deadline and can close one direction.
final class Stream: @unchecked Sendable {
  // @unchecked: tests send on one thread and receive on another, without TLS.
  private var socket: Owner?
  private let descriptor: Int32
  let localAddress: SocketAddress
  private var tls: Secure?
  private var input: [UInt8] = []
  private(set) var hasEnded = false
  /// How many bytes each TLS record brought.
  private(set) var recordByteCounts: [Int] = []

  /// So that it can be let go.
  private final class Owner {
    let value: ClientSocket

    init(_ value: consuming ClientSocket) { self.value = value }

    func receive(into buffer: inout [UInt8]) -> ClientSocket.ReceiveResult {
      var elements = buffer.mutableSpan
      var room = unsafe elements.mutableBytes
      return value.receive(into: &room, isStream: true)
    }
  }

  private final class Secure {
    private var engine: TLSEngine

    init(_ context: TLSContext) throws {
      engine = try TLSEngine(client: context, serverName: "localhost")
      engine.handshake()
    }

    var isEstablished: Bool { engine.isEstablished }
    func write(_ bytes: [UInt8]) -> Bool { engine.write(bytes.span.rawBytes) == .written }
    func receive(_ bytes: [UInt8]) { _ = engine.receive(bytes.span.rawBytes) }
    func endWriting() { engine.endWriting() }

    func takeOutput() -> [UInt8] {
      let bytes = engine.output.copied()
      engine.consumeOutput(bytes.count)
      return bytes
    }

    func read(into buffer: inout [UInt8]) -> TLSEngine.ReadResult { Self.read(&engine, &buffer) }

    private static func read(_ engine: inout TLSEngine, _ buffer: inout [UInt8]) -> TLSEngine.ReadResult {
      var elements = buffer.mutableSpan
      var room = unsafe elements.mutableBytes
      return engine.read(into: &room)
    }
  }

  struct Failure: Error {
    var what: String
  }

  /// Connects to a server.
  convenience init(to remote: SocketAddress, from local: SocketAddress? = nil, tls context: TLSContext? = nil) throws {
    let socket = try ClientSocket.tcp(to: remote, from: local)
    guard Readiness.wait(for: socket.rawValue, writing: true, until: Self.deadline), socket.takePendingError() == nil
    else { throw Failure(what: "no connection to \(remote)") }
    self.init(socket)
    guard let context else { return }
    tls = try Secure(context)
    try flush()
    while tls?.isEstablished != true { try receiveSome() }
  }

  init(_ socket: consuming ClientSocket) {
    descriptor = socket.rawValue
    localAddress = socket.localAddress ?? .none
    self.socket = Owner(socket)
  }

  static var deadline: Instant { Instant.read().advanced(bySeconds: 5) }

  // MARK: - Sending

  func send(_ bytes: [UInt8]) throws {
    guard tls != nil else { return try write(bytes) }
    var offset = 0
    while offset < bytes.count {
      let end = min(offset + 16_384, bytes.count)
      guard tls?.write(Array(bytes[offset..<end])) == true else { throw Failure(what: "TLS write") }
      try flush()
      offset = end
    }
  }

  /// Writes as much as fits while nobody reads, and says how much that was.
  func sendUntilFull(limit: Int) -> Int {
    let chunk = [UInt8](repeating: 0x55, count: 65_536)
    var sent = 0
    while sent < limit {
      guard Readiness.wait(for: descriptor, writing: true, until: Instant.read().advanced(byMilliseconds: 300)),
        let count = try? socket?.value.send(chunk.span.rawBytes), count > 0
      else { break }
      sent += count
    }
    return sent
  }

  private func write(_ bytes: [UInt8]) throws {
    var offset = 0
    while offset < bytes.count {
      guard Readiness.wait(for: descriptor, writing: true, until: Self.deadline) else { throw Failure(what: "no room to write") }
      offset += try socket?.value.send(bytes.span.rawBytes.extracting(offset..<bytes.count)) ?? 0
    }
  }

  private func flush() throws {
    guard let waiting = tls?.takeOutput(), !waiting.isEmpty else { return }
    try write(waiting)
  }

  /// Sends nothing more.
  func endWriting() throws {
    tls?.endWriting()
    try flush()
    socket?.value.endWriting()
  }

  /// Ends it as a process that dies does.
  func reset() {
    socket?.value.resetWhenClosed()
    socket = nil
  }

  // MARK: - Receiving

  /// Reads once; false at the end.
  @discardableResult
  private func receiveSome() throws -> Bool {
    guard Readiness.wait(for: descriptor, until: Self.deadline) else { throw Failure(what: "nothing came") }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    guard case .bytes(let count) = socket?.receive(into: &buffer) else {
      hasEnded = true
      return false
    }
    guard tls != nil else {
      input += buffer[..<count]
      return true
    }
    tls?.receive(Array(buffer[..<count]))
    while true {
      switch tls?.read(into: &buffer) {
      case .bytes(let count):
        input += buffer[..<count]
        recordByteCounts.append(count)
      case .closed:
        hasEnded = true
        return false
      case .failed(let error): throw Failure(what: "\(error)")
      default:
        try flush()
        return true
      }
    }
  }

  func receive(_ count: Int) throws -> [UInt8] {
    while input.count < count {
      guard try receiveSome() else { throw Failure(what: "ended after \(input.count) of \(count) bytes") }
    }
    defer { input.removeFirst(count) }
    return Array(input[..<count])
  }

  /// Reads to the end; how many bytes came.
  func receiveToEnd() throws -> [UInt8] {
    while !hasEnded { try receiveSome() }
    defer { input = [] }
    return input
  }

  /// One STUN message.
  func receiveMessage() throws -> [UInt8] {
    let header = try receive(20)
    return header + (try receive(Int(header[2]) << 8 | Int(header[3])))
  }

  /// Whether something comes in so many milliseconds.
  func hears(within milliseconds: UInt32) -> Bool {
    !input.isEmpty || Readiness.wait(for: descriptor, until: Instant.read().advanced(byMilliseconds: milliseconds))
  }
}

/// A user's requests over a stream, signed once a nonce is known.
final class StreamClient {
  let stream: Stream
  private var nonce: [UInt8] = []
  private let username: String
  private let key: Digest

  init(_ stream: Stream, username: String = "alice", password: String = "secret", realm: String = "turnpike") {
    self.stream = stream
    self.username = username
    key = LongTermKey.md5(
      username: Array(username.utf8), realm: Array(realm.utf8), password: Array(password.utf8))
  }

  struct Answer {
    var bytes: [UInt8]
    var code: UInt16?
    var connectionID: UInt32?
    var relayed: SocketAddress?
    var ticket: [UInt8]?
    var peer: SocketAddress?
    var type: MessageType?

    init(_ bytes: [UInt8]) throws {
      let message = try MessageView(bytes.span.rawBytes)
      self.bytes = bytes
      type = message.type
      code = (try? message.errorCode())?.code.rawValue
      connectionID = try? message.word(.connectionID)
      relayed = try? message.xorAddress(.xorRelayedAddress)
      peer = try? message.xorAddress(.xorPeerAddress)
      ticket = message.value(of: .mobilityTicket)?.copied()
    }
  }

  func request(
    _ method: Method, byHash: Bool = false, _ body: (inout MessageWriter) -> Void = { _ in }
  ) -> [UInt8] {
    var writer = MessageWriter()
    writer.begin(MessageType(method, .request), transactionID: TransactionID(high: 9, low: SecureRandom.word()))
    body(&writer)
    if !nonce.isEmpty {
      if byHash {
        let hash = LongTermKey.userHash(username: Array(username.utf8), realm: Array("turnpike".utf8))
        writer.append(.userHash, hash.array)
      } else {
        writer.append(.username, text: username)
      }
      writer.append(.realm, text: "turnpike")
      writer.append(.nonce, nonce)
      var authenticator = MessageAuthenticator()
      authenticator.sign(&writer, key: key)
    }
    return writer.bytes.copied()
  }

  /// Learns a nonce.
  func challenge(_ method: Method = .allocate) throws {
    try stream.send(request(method))
    let bytes = try stream.receiveMessage()
    let message = try MessageView(bytes.span.rawBytes)
    nonce = message.value(of: .nonce)?.copied() ?? []
  }

  func ask(_ method: Method, _ body: (inout MessageWriter) -> Void = { _ in }) throws -> Answer {
    if nonce.isEmpty { try challenge(method) }
    try stream.send(request(method, body))
    return try Answer(try stream.receiveMessage())
  }

  func allocateTCP() throws -> SocketAddress {
    let answer = try ask(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) }
    guard let relayed = answer.relayed else { throw Stream.Failure(what: "Allocate: \(answer.code ?? 0)") }
    return relayed
  }

  func connect(_ peer: SocketAddress) throws -> Answer { try ask(.connect) { $0.append(.xorPeerAddress, xor: peer) } }

  func permit(_ peer: SocketAddress) throws -> Answer {
    try ask(.createPermission) { $0.append(.xorPeerAddress, xor: peer) }
  }

  func bindConnection(_ identifier: UInt32) throws -> Answer {
    try ask(.connectionBind) { $0.append(.connectionID, identifier) }
  }
}

/// A peer that accepts TCP connections on loopback.
final class StreamPeer {
  private let listener: StreamListener
  let address: SocketAddress

  init() throws {
    let listener = try StreamListener(listeningOn: SocketAddress(.ipv4Loopback, port: 0))
    address = listener.localAddress ?? .none
    self.listener = consume listener
  }

  func accept() throws -> Stream {
    guard Readiness.wait(for: listener.rawValue, until: Stream.deadline), let socket = try ClientSocket.accepted(by: listener)
    else { throw Stream.Failure(what: "nobody connects") }
    return Stream(socket)
  }
}
