internal import System
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TURNClient

// Attacks without an account, or with a recording of another client's packets.
extension SecurityCheck {
  /// Replays a recorded Allocate from another port. It must be refused: a nonce is valid for one client address only.
  mutating func replay() {
    guard options.credential != nil, target.transport == .udp else { return }
    let subject = "a recorded Allocate from another port"
    do {
      var owner = try session(options.credential, seed: random.next())
      try owner.allocate()
      let recorded = owner.client.customRequest(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
      _ = try? owner.delete()
      var thief = try session(nil, seed: random.next())
      let answer = try thief.exchange(recorded.bytes, recorded.transaction)
      if case .success = answer {
        record("replay", subject, .letThrough, "a request that was recorded on the way can be repeated from anywhere")
      } else {
        // An answer that requires credentials or another nonce means that the server did not accept the recording.
        record("replay", subject, answer.verdict(ifRefusedWith: [400, 401, 403, 438]), answer.words)
      }
      owner.close()
      thief.close()
    } catch {
      record("replay", subject, .unknown, failure(error, "Allocate").message)
    }
  }

  /// Largest ratio of answer to request; above it an attacker can use the server to flood other hosts.
  private static let amplificationLimit = 8

  mutating func strangers() {
    guard target.transport == .udp else { return }
    guard let socket = try? ClientSocket.udp(boundTo: own), let third = try? ClientSocket.udp(boundTo: own),
      let thirdAddress = third.localAddress
    else { return }
    var writer = MessageWriter()
    for (name, method) in [("Binding", STUN.Method.binding), ("Allocate", .allocate)] {
      writer.begin(MessageType(method, .request), transactionID: transaction())
      if method == .allocate { writer.append(.requestedTransport, UInt32(17) << 24) }
      let request = writer.bytes.copied()
      guard let answer = exchange(request, socket) else {
        record("amplification", "\(name) answers", .unknown, "no answer")
        continue
      }
      let ratio = answer.count * 10 / request.count
      let words = "\(answer.count) bytes for \(request.count), \(ratio / 10).\(ratio % 10) times"
      record("amplification", "\(name) answers", ratio > Self.amplificationLimit * 10 ? .letThrough : .refused, words)
      let padding = Self.hasDirtyPadding(answer)
      record(
        "padding", "padding of \(name) answers", padding ? .letThrough : .refused,
        padding ? "not zero: it may contain bytes of the server's memory" : "zero")
    }
    responseAddress(socket, third, thirdAddress)
    otherProtocol()
  }

  private var own: SocketAddress {
    let route = try? ClientSocket.udp(to: target.address, from: options.local)
    let source = route?.localAddress ?? SocketAddress(target.address.family == .ipv4 ? .ipv4Any : .ipv6Any, port: 0)
    return SocketAddress(source.address, port: 0, scope: source.scope)
  }

  private mutating func transaction() -> TransactionID {
    TransactionID(high: UInt32(truncatingIfNeeded: random.next()), low: random.next())
  }

  /// The time for an answer before a request is repeated.
  private static let wait = Duration.milliseconds(400)

  /// Sends a request, up to three times, and returns the server's answer. Other datagrams that arrive prove nothing.
  private func exchange(_ request: [UInt8], _ socket: borrowing ClientSocket) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    var source = SocketAddress.none
    for _ in 1...3 {
      _ = try? socket.send(request.span.rawBytes, to: target.address)
      let end = Instant.read().advanced(by: Self.wait)
      while let count = NATCheck.receive(socket, &buffer, &source, until: end) {
        if target.isSource(source), Self.isAnswer(buffer[..<count], to: request) { return Array(buffer.prefix(count)) }
        // A flood of other datagrams must not keep the loop going.
        if Instant.read() >= end { break }
      }
    }
    return nil
  }

  /// Whether the datagram is a response with the request's transaction ID, which is 16 bytes in RFC 3489. The rest may
  /// be malformed: a faulty answer is an answer too.
  private static func isAnswer(_ bytes: ArraySlice<UInt8>, to request: [UInt8]) -> Bool {
    bytes.count >= headerByteCount && bytes[0] & 1 == 1 && bytes[4..<headerByteCount] == request[4..<headerByteCount]
  }

  /// RFC 3489's RESPONSE-ADDRESS would let any client make the server send to any address.
  private mutating func responseAddress(
    _ socket: borrowing ClientSocket, _ third: borrowing ClientSocket, _ address: SocketAddress
  ) {
    guard address.family == .ipv4 else { return }
    let bits = address.address.ipv4Bits
    let port = address.port
    var request: [UInt8] = [0, 1, 0, 12]
    request += Self.bytes(random.next()) + Self.bytes(random.next() | 1)
    request[4] = 0x55
    request += [0, 2, 0, 8, 0, 1, UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]
    request += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bits >> UInt32($0)) }
    let isReflected = isAnswered(request, from: socket, at: third)
    record(
      "response-address", "RESPONSE-ADDRESS of RFC 3489", isReflected ? .letThrough : .refused,
      isReflected ? "the server sends to any address that a stranger names" : "not honoured")
  }

  /// Whether the answer to a request from one socket arrives at another, from any source. The request is repeated, at
  /// most twice, until its answer arrives at one of the two.
  private func isAnswered(
    _ request: [UInt8], from socket: borrowing ClientSocket, at third: borrowing ClientSocket
  ) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var source = SocketAddress.none
    var hasAnswer = false
    for _ in 1...3 where !hasAnswer {
      _ = try? socket.send(request.span.rawBytes, to: target.address)
      let end = Instant.read().advanced(by: Self.wait)
      while Readiness.wait(forAnyOf: [third.rawValue, socket.rawValue], until: end) {
        if let count = NATCheck.receive(third, &buffer, &source, until: .read()),
          Self.isAnswer(buffer[..<count], to: request)
        {
          return true
        }
        if let count = NATCheck.receive(socket, &buffer, &source, until: .read()), target.isSource(source),
          Self.isAnswer(buffer[..<count], to: request)
        {
          hasAnswer = true
        }
        // A flood of other datagrams must not keep the loop going.
        if Instant.read() >= end { break }
      }
    }
    return false
  }

  /// The server must not answer an HTTP request on the TURN port.
  private mutating func otherProtocol() {
    guard
      var connection = try? ClientConnection(
        ClientConnection.Settings(transport: .tcp, remote: target.address),
        until: Instant.read().advanced(by: min(options.timeout, .seconds(1))))
    else { return }
    let request = Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
    let end = Instant.read().advanced(by: .milliseconds(700))
    let subject = "an HTTP request over TCP"
    do {
      try connection.send(request, until: end)
      let hasAnswer = try connection.receive(until: end)
      record("other-protocol", subject, .refused, hasAnswer ? "answered with STUN" : "silence")
    } catch {
      if case .notSTUN = error {
        record("other-protocol", subject, .letThrough, "another service answers on the TURN port")
      } else {
        record("other-protocol", subject, .refused, "closed")
      }
    }
  }

  /// Whether an attribute's padding is not zero (CVE-2020-4067).
  static func hasDirtyPadding(_ message: [UInt8]) -> Bool {
    var offset = headerByteCount
    while offset + 4 <= message.count {
      let count = Int(message[offset + 2]) << 8 | Int(message[offset + 3])
      let end = min(offset + 4 + count, message.count)
      let padded = min(offset + 4 + ((count + 3) & ~3), message.count)
      if message[end..<padded].contains(where: { $0 != 0 }) { return true }
      offset = max(padded, offset + 4)
    }
    return false
  }

  // MARK: - TCP (RFC 6062)

  /// If the server relays TCP, its peer rules must apply to TCP too.
  mutating func tcpPeer() {
    guard target.transport.isStream, let credential = options.credential else { return }
    let subject = "TCP to loopback (RFC 6062)"
    do throws(AllocationSession.Failure) {
      var session = try session(credential, transport: .tcp, seed: random.next())
      do throws(AllocationSession.Failure) {
        try session.allocate()
      } catch {
        if case .request(.refused(let code, _, _, _)) = error {
          let isNever = [400, 403, 440, 442].contains(code.rawValue)
          record(
            "tcp-peer", subject, isNever ? .refused : .unknown,
            (isNever ? "no TCP relaying: " : "Allocate: ") + "\(code.rawValue) \(code.reason)")
          session.close()
          return
        }
        throw error
      }
      let listener = try? StreamListener(listeningOn: SocketAddress(.ipv4Loopback, port: 0))
      let port = listener?.localAddress?.port ?? 9
      let answer = try session.tryRequest(.connect) {
        $0.append(.xorPeerAddress, xor: SocketAddress(.ipv4Loopback, port: port))
      }
      if case .success = answer {
        record("tcp-peer", subject, .letThrough, "Connect succeeds")
      } else {
        // 447 follows a connection attempt: no rule forbade it.
        record("tcp-peer", subject, answer.verdict(ifRefusedWith: CustomAnswer.peerRefusals), answer.words)
      }
      session.close()
    } catch {
      record("tcp-peer", subject, .unknown, failure(error, "Allocate").message)
    }
  }
}
