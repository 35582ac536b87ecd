import System
import Crypto
import NetIO
import NetworkTypes
import STUN
import TLS

/// One end of a byte stream for tests, TCP or TLS. Its calls block up to a deadline, and it can close one direction.
final class Stream: @unchecked Sendable {
  // @unchecked: tests may send on one thread and receive on another, but only without TLS.
  private var socket: Owner?
  private let descriptor: Int32
  let localAddress: SocketAddress
  private var tls: Secure?
  private var input: [UInt8] = []
  private(set) var hasEnded = false
  /// The number of bytes in each TLS record received.
  private(set) var recordByteCounts: [Int] = []

  /// Holds the noncopyable socket, so that it can be closed early.
  private final class Owner {
    let value: ClientSocket

    init(_ value: consuming ClientSocket) { self.value = value }

    func receive(into buffer: inout [UInt8]) -> ReadResult<Errno> {
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
    func requestKeyUpdate() { engine.requestKeyUpdate() }

    func takeOutput() -> [UInt8] {
      let bytes = engine.output.copied()
      engine.consumeOutput(bytes.count)
      return bytes
    }

    func read(into buffer: inout [UInt8]) -> ReadResult<TLSError> { Self.read(&engine, &buffer) }

    private static func read(_ engine: inout TLSEngine, _ buffer: inout [UInt8]) -> ReadResult<TLSError> {
      var elements = buffer.mutableSpan
      var room = unsafe elements.mutableBytes
      return engine.read(into: &room)
    }
  }

  struct Failure: Error {
    var what: String
  }

  /// Connects to a server. `preface` is sent before everything else, also before TLS.
  convenience init(
    to remote: SocketAddress, from local: SocketAddress? = nil, preface: [UInt8] = [], tls context: TLSContext? = nil
  ) throws {
    let socket = try ClientSocket.tcp(to: remote, from: local)
    guard Readiness.wait(for: socket.rawValue, writing: true, until: Self.deadline), socket.takePendingError() == nil
    else { throw Failure(what: "no connection to \(remote)") }
    self.init(socket)
    if !preface.isEmpty { try write(preface) }
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

  static var deadline: Instant { Instant.read().advanced(by: .seconds(5)) }

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

  /// Writes until the buffers are full, while the peer does not read. Returns the number of bytes.
  func sendUntilFull(limit: Int) -> Int {
    let chunk = [UInt8](repeating: 0x55, count: 65_536)
    var sent = 0
    while sent < limit {
      guard Readiness.wait(for: descriptor, writing: true, until: Instant.read().advanced(by: .milliseconds(300))),
        let count = try? socket?.value.send(chunk.span.rawBytes), count > 0
      else { break }
      sent += count
    }
    return sent
  }

  private func write(_ bytes: [UInt8]) throws {
    var offset = 0
    while offset < bytes.count {
      guard Readiness.wait(for: descriptor, writing: true, until: Self.deadline) else {
        throw Failure(what: "no room to write")
      }
      offset += try socket?.value.send(bytes.span.rawBytes.extracting(offset..<bytes.count)) ?? 0
    }
  }

  private func flush() throws {
    guard let waiting = tls?.takeOutput(), !waiting.isEmpty else { return }
    try write(waiting)
  }

  /// Ends this direction.
  func endWriting() throws {
    tls?.endWriting()
    try flush()
    socket?.value.endWriting()
  }

  /// Sends a KeyUpdate that requests a KeyUpdate in return (TLS 1.3).
  func requestKeyUpdate() throws {
    tls?.requestKeyUpdate()
    try flush()
  }

  /// Resets the connection, as when a process dies.
  func reset() {
    socket?.value.resetWhenClosed()
    socket = nil
  }

  // MARK: - Receiving

  /// Reads once; false at the end.
  @discardableResult
  private func receiveSome() throws -> Bool {
    guard Readiness.wait(for: descriptor, until: Self.deadline) else { throw Failure(what: "nothing arrived in time") }
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

  /// Reads to the end and returns the bytes.
  func receiveToEnd() throws -> [UInt8] {
    while !hasEnded { try receiveSome() }
    defer { input = [] }
    return input
  }

  /// Whether the server ends the connection during or after `writing`. If it closes the connection with unread input,
  /// the kernel resets it, and then writing fails.
  func ends(_ writing: () throws -> Void) -> Bool {
    do {
      try writing()
      _ = try receiveToEnd()
      return true
    } catch let error as Errno {
      return error == .connectionReset || error == .brokenPipe
    } catch {
      return false
    }
  }

  /// Receives one STUN message.
  func receiveMessage() throws -> [UInt8] {
    let header = try receive(20)
    return header + (try receive(Int(header[2]) << 8 | Int(header[3])))
  }

  /// Whether bytes arrive within this time.
  func hears(within milliseconds: UInt32) -> Bool {
    !input.isEmpty || Readiness.wait(for: descriptor, until: Instant.read().advanced(by: .milliseconds(milliseconds)))
  }
}
