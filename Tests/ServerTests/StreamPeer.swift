import NetIO
import NetworkTypes

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
    guard Readiness.wait(for: listener.rawValue, until: Stream.deadline),
      let socket = try ClientSocket.accepted(by: listener)
    else { throw Stream.Failure(what: "no client connects") }
    return Stream(socket)
  }
}
