import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import Testing
import TLS

extension TCPRelayServerTests {
  @Test("Over TLS each message has its own record, however many leave in one turn")
  func records() throws {
    let server = try server(13)
    let client = try open(server, secure: true)
    let peer = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let local = peer.localAddress
    let peerAddress = try #require(local)
    let relayed = try #require(try client.ask(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }.relayed)
    #expect(
      try client.ask(.channelBind) {
        $0.append(.channelNumber, UInt32(0x4000) << 16)
        $0.append(.xorPeerAddress, xor: peerAddress)
      }.code == nil)
    let before = client.stream.recordByteCounts.count
    server.send(SIGSTOP)
    for number in UInt8(0)..<20 {
      let data = [UInt8](repeating: number, count: 100)
      _ = try peer.send(data.span.rawBytes, to: relayed)
    }
    server.send(SIGCONT)
    for number in UInt8(0)..<20 {
      #expect(try client.stream.receive(104) == [0x40, 0, 0, 100] + [UInt8](repeating: number, count: 100))
    }
    #expect(client.stream.recordByteCounts.dropFirst(before) == ArraySlice([Int](repeating: 104, count: 20)))
  }
}
