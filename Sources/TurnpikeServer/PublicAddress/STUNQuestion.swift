internal import ClientIO
internal import Crypto
internal import NetworkTypes
internal import STUN
internal import System
internal import TURNClient

/// Asks a STUN server for the reflexive transport address of one of our addresses.
enum STUNQuestion {
  private typealias NoAnswer = PublicAddressSearch.NoAnswer

  /// The socket is bound to `local` and connected, so it receives datagrams of this server only; of these only a
  /// response with the transaction ID counts.
  static func ask(
    _ server: SocketAddress, from local: IPAddress, until deadline: Instant
  ) throws(PublicAddressSearch.NoAnswer) -> (address: IPAddress, keepsPort: Bool) {
    let outcome: Result<BindingProbe.Response, RequestFailure>?
    let own: SocketAddress?
    do throws(ConnectionFailure) {
      var connection = try ClientConnection(
        .init(transport: .udp, remote: server, local: SocketAddress(local, port: 0)), until: deadline)
      own = connection.localAddress
      outcome = try exchange(&connection, until: deadline)
    } catch {
      throw NoAnswer("\(server): \(text(error)), asked from \(local)")
    }
    switch outcome {
    case .success(let response):
      return (response.mappedAddress.address.canonical, own?.port == response.mappedAddress.port)
    case .failure(.malformed(let reason)): throw NoAnswer("\(server): \(reason)")
    case .failure(.refused(let code, _, _, _)): throw NoAnswer("\(server): the error \(code.rawValue)")
    default: throw NoAnswer("\(server): no answer, asked from \(local)")
    }
  }

  private static func exchange(
    _ connection: inout ClientConnection, until deadline: Instant
  ) throws(ConnectionFailure) -> Result<BindingProbe.Response, RequestFailure>? {
    var settings = Retransmission.Settings()
    settings.initialTimeout = .milliseconds(250)
    settings.limit = max(deadline.duration(since: .read()), .milliseconds(1))
    var generator = SeededGenerator(seed: SecureRandom.bytes(32))
    var probe = BindingProbe(isStream: false, settings: settings, generator: &generator, now: .read())
    while probe.outcome == nil, let due = probe.deadline {
      if let request = probe.takeOutput() { try connection.send(request, until: deadline) }
      if try connection.receive(until: min(due, deadline)) { probe.receive(connection.message, now: .read()) }
      // The timers run after every message: a flood of other messages must not delay them.
      probe.advance(to: .read())
    }
    return probe.outcome
  }

  private static func text(_ failure: ConnectionFailure) -> String {
    switch failure {
    case .refused: "no program listens there"
    case .unreachable(let error), .system(let error): "\(error)"
    default: "no answer"
    }
  }
}
