import NetworkTypes
import Testing

@testable import NetIO

@Suite("ICMP messages, and datagrams that must not be fragmented")
struct ErrorQueueTests {
  @Test("a closed port's ICMP message names the destination, once", arguments: ["127.0.0.1", "::1"])
  func portUnreachable(host: String) throws {
    let address = try #require(IPAddress(host))
    let socket = try UDPSocket(relayingOn: SocketAddress(address, port: 0))
    // A port that was just free: opened and closed again.
    let closed: SocketAddress
    do {
      let other = try UDPSocket(relayingOn: SocketAddress(address, port: 0))
      let local = other.localAddress
      closed = try #require(local)
    }
    #expect(ErrorQueue.next(from: socket.rawValue) == nil)
    try UnfragmentedSend.send([1, 2, 3], over: socket.rawValue, to: closed)
    // Over loopback the message is there before the send returns.
    let (type, code): (UInt8, UInt8) = address.family == .ipv4 ? (3, 3) : (1, 4)
    #expect(
      ErrorQueue.next(from: socket.rawValue)
        == .icmp(ICMPReport(destination: closed, type: type, code: code, mtu: 0)))
    #expect(ErrorQueue.next(from: socket.rawValue) == nil)
  }

  @Test("the socket sends as before after a datagram that must not be fragmented")
  func optionIsRestored() throws {
    let socket = try UDPSocket(relayingOn: SocketAddress(IPAddress(127, 0, 0, 1), port: 0))
    let receiver = try UDPSocket(relayingOn: SocketAddress(IPAddress(127, 0, 0, 1), port: 0))
    let local = receiver.localAddress
    let peer = try #require(local)
    // IP_MTU_DISCOVER of IPPROTO_IP; 5 is IP_PMTUDISC_OMIT.
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
    try UnfragmentedSend.send([UInt8](repeating: 1, count: 1000), over: socket.rawValue, to: peer)
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
    // Larger than any datagram: the error is told, and the option is as before all the same.
    let error = #expect(throws: Errno.self) {
      try UnfragmentedSend.send([UInt8](repeating: 1, count: 66_000), over: socket.rawValue, to: peer)
    }
    #expect(error != nil)
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
  }
}
