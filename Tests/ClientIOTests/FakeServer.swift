import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import Synchronization
import System
import TLS
import TURNClient

/// A server on a loopback port whose answers the test chooses. It runs on its own thread until it is stopped.
final class FakeServer: Sendable {
  /// Returns the answers to a datagram or to a message of a stream.
  typealias Handler = @Sendable (_ request: [UInt8]) -> [[UInt8]]

  enum Kind: Sendable {
    case udp(Handler)
    /// Accepts connections and answers each message.
    case tcp(Handler)
    /// Accepts connections and closes them at once.
    case closing
    case tls(TLSContext, Handler)
  }

  let address: SocketAddress
  private let flag: StopFlag

  init(_ kind: Kind, at loopback: SocketAddress = SocketAddress(.ipv4Loopback, port: 0)) throws {
    let flag = StopFlag()
    self.flag = flag
    switch kind {
    case .udp(let handler):
      let socket = try ClientSocket.udp(boundTo: loopback)
      address = socket.localAddress ?? loopback
      let owned = Owned(socket)
      _ = try System.Thread(name: "fake-udp") {
        while !flag.isSet { Self.answer(owned.socket, handler) }
      }
    case .tcp(let handler): address = try Self.listen(loopback, flag) { Self.serve($0, nil, handler, flag) }
    case .closing: address = try Self.listen(loopback, flag) { _ in }
    case .tls(let context, let handler):
      address = try Self.listen(loopback, flag) { Self.serve($0, context, handler, flag) }
    }
  }

  func stop() { flag.set() }
}

/// Asks a thread to stop.
private final class StopFlag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}

/// Carries a noncopyable socket into a thread's closure.
private final class Owned: Sendable {
  let socket: ClientSocket
  init(_ socket: consuming ClientSocket) { self.socket = socket }
}

private final class OwnedListener: Sendable {
  let listener: StreamListener
  init(_ listener: consuming StreamListener) { self.listener = listener }
}

extension FakeServer {
  private static func soon() -> Instant { Instant.read().advanced(by: .milliseconds(20)) }

  private static func answer(_ socket: borrowing ClientSocket, _ handler: Handler) {
    guard Readiness.wait(for: socket.rawValue, until: soon()) else { return }
    var buffer = [UInt8](repeating: 0, count: 2048)
    var sender = SocketAddress.none
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    guard case .bytes(let count) = socket.receive(into: &bytes, from: &sender) else { return }
    for reply in handler(Array(buffer.prefix(count))) { _ = try? socket.send(reply.span.rawBytes, to: sender) }
  }

  private static func listen(
    _ loopback: SocketAddress, _ flag: StopFlag, _ serve: @escaping @Sendable (borrowing StreamSocket) -> Void
  ) throws -> SocketAddress {
    let listener = try StreamListener(listeningOn: loopback)
    let address = listener.localAddress ?? .none
    let owned = OwnedListener(listener)
    _ = try System.Thread(name: "fake-tcp") {
      while !flag.isSet {
        guard Readiness.wait(for: owned.listener.rawValue, until: soon()) else { continue }
        if let connection = try? owned.listener.accept() { serve(connection) }
      }
    }
    return address
  }

  private static func serve(
    _ connection: borrowing StreamSocket, _ context: TLSContext?, _ handler: Handler, _ flag: StopFlag
  ) {
    var buffers = PacketBuffers(slotCount: 1)
    guard let context else {
      while let bytes = read(connection, &buffers, flag) {
        for reply in handler(bytes) { _ = connection.write(reply.span.rawBytes) }
      }
      return
    }
    guard var engine = try? TLSEngine(server: context) else { return }
    var plain = [UInt8](repeating: 0, count: 20_000)
    while let bytes = read(connection, &buffers, flag) {
      engine.receive(bytes.span.rawBytes)
      while true {
        var span = plain.mutableSpan
        var room = unsafe span.mutableBytes
        guard case .bytes(let count) = engine.read(into: &room) else { break }
        for reply in handler(Array(plain.prefix(count))) { _ = engine.write(reply.span.rawBytes) }
      }
      let output = engine.output.copied()
      engine.consumeOutput(output.count)
      _ = connection.write(output.span.rawBytes)
      if engine.failure != nil { return }
    }
  }

  /// The next bytes; nil at the end of the connection or of the test.
  private static func read(
    _ connection: borrowing StreamSocket, _ buffers: inout PacketBuffers, _ flag: StopFlag
  ) -> [UInt8]? {
    while !flag.isSet {
      switch connection.read(into: &buffers, slot: 0, offset: 0) {
      case .bytes(let count): return buffers.bytes(0, 0..<count).copied()
      case .closed, .failed: return nil
      case .wouldBlock: _ = Readiness.wait(for: connection.rawValue, until: soon())
      }
    }
    return nil
  }
}

// MARK: - Answers

/// Makes the response to a request; empty if the bytes are no request.
func respond(
  to request: [UInt8], error: ErrorCode? = nil, key: Digest? = nil, _ body: (inout MessageWriter) -> Void = { _ in }
) -> [[UInt8]] {
  guard let message = try? MessageView(request.span.rawBytes), message.type.messageClass == .request else { return [] }
  var writer = MessageWriter()
  writer.begin(MessageType(message.type.method, error == nil ? .success : .error), transactionID: message.transactionID)
  if let error { writer.append(error) }
  body(&writer)
  if let key {
    var authenticator = MessageAuthenticator()
    authenticator.sign(&writer, key: key)
  }
  writer.appendFingerprint()
  return [writer.bytes.copied()]
}

func method(of request: [UInt8]) -> STUN.Method? { (try? MessageView(request.span.rawBytes))?.type.method }

func isSigned(_ request: [UInt8]) -> Bool { (try? MessageView(request.span.rawBytes))?.has(.messageIntegrity) == true }

func challenge(_ request: [UInt8], _ code: ErrorCode = .unauthenticated, nonce: String = "n") -> [[UInt8]] {
  respond(to: request, error: code) {
    $0.append(.realm, text: "example.org")
    $0.append(.nonce, text: nonce)
  }
}

let mapped = SocketAddress(IPAddress(198, 51, 100, 1), port: 4000)

/// The signed answer to an Allocate or Refresh that is granted for ten minutes.
func grant(_ request: [UInt8], _ key: Digest) -> [[UInt8]] {
  respond(to: request, key: key) {
    $0.append(.xorRelayedAddress, xor: SocketAddress(IPAddress(203, 0, 113, 1), port: 9))
    $0.append(.xorMappedAddress, xor: mapped)
    $0.append(.lifetime, UInt32(600))
  }
}

extension FakeServer {
  /// The server as a target of checks over UDP.
  var target: ServerTarget {
    ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(address.address), port: address.port), transport: .udp,
      address: address)
  }
}

/// Answers like a TURN server that grants every request without credentials and relays nothing.
func generous(_ request: [UInt8]) -> [[UInt8]] {
  respond(to: request) {
    if method(of: request) == .allocate {
      $0.append(.xorRelayedAddress, xor: SocketAddress(.ipv4Loopback, port: 9))
      $0.append(.xorMappedAddress, xor: mapped)
    }
    if method(of: request) == .binding { $0.append(.xorMappedAddress, xor: mapped) }
    $0.append(.lifetime, UInt32(600))
  }
}

/// A server that accepts time-limited credentials made with a secret, and whose clock is `ahead` seconds ahead. Each
/// answer takes `delay`.
func restServer(ahead: UInt64, _ secret: [UInt8], delay: Duration = .zero) throws -> FakeServer {
  try FakeServer(
    .udp { request in
      Readiness.sleep(until: Instant.read().advanced(by: delay))
      guard let message = try? MessageView(request.span.rawBytes), isSigned(request),
        let username = message.value(of: .username)?.copied()
      else { return challenge(request) }
      let now = UnixTime(clamping: UInt64(Date().timeIntervalSince1970) + ahead)
      let key = LongTermKey.md5(
        username: username, realm: Array("example.org".utf8),
        password: TimeLimitedCredential.password(username: username, secret: secret))
      var authenticator = MessageAuthenticator()
      guard (TimeLimitedCredential.expiry(ofUsername: username) ?? .epoch) > now,
        authenticator.verify(message, key: key)
      else { return challenge(request) }
      return respond(to: request, key: key) {
        $0.append(.xorRelayedAddress, xor: SocketAddress(.ipv4Loopback, port: 9))
        $0.append(.lifetime, UInt32(600))
      }
    })
}
