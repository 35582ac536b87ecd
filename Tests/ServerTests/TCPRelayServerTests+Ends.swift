import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing
import TLS

/// Pipes that end at one time.
extension TCPRelayServerTests {
  @Test("2,500 pipes that end together are closed one after the other, without recursion", .tags(.slow))
  func endsTogether() throws {
    let server = try server(
      15, ["limits.unauthenticated-per-address=0", "limits.connects-per-user=0", "auth.store=", "workers=1"])
    var controls: [StreamClient] = []
    var streams: [Stream] = []
    for round in UInt8(0)..<10 {
      // The connections of one address are limited.
      let local = SocketAddress(IPAddress(127, 0, 1, round), port: 0)
      let control = try open(server)
      _ = try control.allocateTCP()
      controls.append(control)
      for _ in 0..<250 {
        let peer = try StreamPeer()
        let identifier = try #require(try control.connect(peer.address).connectionID)
        streams.append(try peer.accept())
        let data = StreamClient(
          try Stream(to: SocketAddress(.ipv4Loopback, port: server.port), from: local), username: "alice",
          password: "secret")
        #expect(try data.bindConnection(identifier).type == MessageType(.connectionBind, .success))
        streams.append(data.stream)
      }
    }
    server.send(SIGTERM)
    for stream in streams { #expect((try? stream.receiveToEnd()) == []) }
    #expect(server.waitForEnd() == 0)
  }
}
