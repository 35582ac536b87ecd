internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

extension Shard {
  /// Records the kernel's round trip of a TCP connection for an allocation whose client was not challenged here.
  mutating func measureRoundTrip(of allocation: Handle<Allocation>) {
    guard let client = relay.clientWithoutRoundTrip(allocation), client.transport.isStream,
      let number = client.connection, let connection = streams.slot(of: Handle<Connection>(sameAs: number)),
      // A proxy's connection would give the round trip to the proxy.
      streams[connection].socket.remote == client.address,
      let roundTrip = streams[connection].socket.roundTrip
    else { return }
    relay.recordRoundTrip(roundTrip, of: allocation)
  }
}
