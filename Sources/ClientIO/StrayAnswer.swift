internal import System
internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURNClient

/// Finds answers from another address than the requested one. A connected socket never sees them, because the kernel
/// drops packets from other sources: this repeats the request from an unconnected socket.
enum StrayAnswer {
  /// The listening time, and the interval of the requests.
  private static let timeout = Duration.milliseconds(1500)
  private static let interval = Duration.milliseconds(500)

  /// The source of an answer from a wrong address. Nil: no answer came, or one from the right address.
  static func find(
    _ target: ServerTarget, _ options: CheckOptions, within timeout: Duration = timeout,
    _ generator: inout SeededGenerator
  ) -> SocketAddress? {
    guard let socket = socket(target, options) else { return nil }
    let requests = requests(target, options, &generator)
    let transactions = requests.compactMap { (try? MessageView($0.span.rawBytes))?.transactionID }
    let end = Instant.read().advanced(by: min(timeout, max(options.timeout, .milliseconds(200))))
    var buffer = [UInt8](repeating: 0, count: 2048)
    var source = SocketAddress.none
    while Instant.read() < end {
      for request in requests { _ = try? socket.send(request.span.rawBytes, to: target.address) }
      let round = min(end, Instant.read().advanced(by: interval))
      while let count = NATCheck.receive(socket, &buffer, &source, until: round) {
        if isAnswer(buffer.span.rawBytes.extracting(0..<count), to: transactions, over: target.transport) {
          return target.isSource(source) ? nil : source
        }
        // A flood of other datagrams must not keep the loop going.
        if Instant.read() >= round { break }
      }
    }
    return nil
  }

  /// An unconnected socket on the address from which this machine reaches the server.
  private static func socket(_ target: ServerTarget, _ options: CheckOptions) -> ClientSocket? {
    var local = options.local
    local?.port = 0
    guard let route = try? ClientSocket.udp(to: target.address, from: local), let source = route.localAddress else {
      return nil
    }
    return try? ClientSocket.udp(boundTo: SocketAddress(source.address, port: 0, scope: source.scope))
  }

  /// Binding and Allocate requests, because a server may support TURN alone. The Allocate request has no
  /// REQUESTED-TRANSPORT, so that no server grants it.
  private static func requests(
    _ target: ServerTarget, _ options: CheckOptions, _ generator: inout SeededGenerator
  ) -> [[UInt8]] {
    if target.transport == .dtls { return clientHello(target, options) }
    let methods: [STUN.Method] = target.uri.scheme.isTURN ? [.binding, .allocate] : [.binding]
    return methods.map { method in
      var writer = MessageWriter(capacity: 64)
      let id = TransactionID(high: UInt32(truncatingIfNeeded: generator.next()), low: generator.next())
      writer.begin(MessageType(method, .request), transactionID: id)
      writer.appendFingerprint()
      return writer.bytes.copied()
    }
  }

  private static func clientHello(_ target: ServerTarget, _ options: CheckOptions) -> [[UInt8]] {
    guard let context = options.dtls, let layer = try? DatagramLayer(context, target.serverName) else { return [] }
    _ = layer.secure.engine.handshake()
    var flight: [[UInt8]] = []
    while let datagram = layer.secure.engine.takeDatagram() { flight.append(datagram) }
    return flight
  }

  private static func isAnswer(
    _ bytes: RawSpan, to transactions: [TransactionID], over transport: TransportProtocol
  ) -> Bool {
    // DTLS: a record with a handshake message or an alert.
    if transport == .dtls {
      return bytes.byteCount >= 13 && [21, 22].contains(bytes.byte(at: 0)) && bytes.byte(at: 1) == 0xFE
    }
    guard let message = try? MessageView(bytes) else { return false }
    let isResponse = message.type.messageClass == .success || message.type.messageClass == .error
    return isResponse && transactions.contains(message.transactionID)
  }
}

extension CheckFailure {
  /// After a timeout over UDP: looks for an answer from another address, and reports it. `isHurried`: after the user's
  /// interruption it waits 300 ms only.
  mutating func lookAround(
    _ target: ServerTarget, _ options: CheckOptions, isHurried: Bool = false, _ generator: inout SeededGenerator
  ) {
    guard reason == .timeout, !target.transport.isStream, options.looksAround else { return }
    let found =
      isHurried
      ? StrayAnswer.find(target, options, within: .milliseconds(300), &generator)
      : StrayAnswer.find(target, options, &generator)
    guard let found else { return }
    self = CheckFailure(
      .otherSource, "\(message), but an answer came from \(found)", advice: Self.advice(found, target))
  }

  /// The likely cause of an answer from another address or port.
  static func advice(_ source: SocketAddress, _ target: ServerTarget) -> String {
    source.address == target.address.address
      ? "a NAT or load balancer in front of the server changes the port of its answers"
      : "the server has several addresses and answers from the wrong one: give it a listener for each address, not a "
        + "wildcard; or a NAT in front of it does not translate its answers back"
  }
}
