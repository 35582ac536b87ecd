import NetworkTypes
import Testing

@testable import NetIO
@testable import System

@Suite("ICMP errors and the DF bit")
struct ErrorQueueTests {
  @Test("The ICMP error of a closed port names the destination, once", arguments: ["127.0.0.1", "::1"])
  func portUnreachable(host: String) throws {
    let address = try #require(IPAddress(host))
    let socket = try UDPSocket(relayingOn: SocketAddress(address, port: 0))
    // A port without a socket: it was opened and closed again.
    let closed: SocketAddress
    do {
      let other = try UDPSocket(relayingOn: SocketAddress(address, port: 0))
      let local = other.localAddress
      closed = try #require(local)
    }
    #expect(ICMPErrorQueue.next(from: socket.rawValue) == nil)
    try UnfragmentedSend.send([1, 2, 3], over: socket.rawValue, to: closed)
    // On loopback the ICMP message is queued before the send returns.
    let (type, code): (UInt8, UInt8) = address.family == .ipv4 ? (3, 3) : (1, 4)
    #expect(
      ICMPErrorQueue.next(from: socket.rawValue)
        == .icmp(ICMPReport(destination: closed, type: type, code: code, mtu: 0)))
    #expect(ICMPErrorQueue.next(from: socket.rawValue) == nil)
  }

  @Test("After a datagram with DF the socket sends without DF again")
  func optionIsRestored() throws {
    let socket = try UDPSocket(relayingOn: SocketAddress(IPAddress(127, 0, 0, 1), port: 0))
    let receiver = try UDPSocket(relayingOn: SocketAddress(IPAddress(127, 0, 0, 1), port: 0))
    let local = receiver.localAddress
    let peer = try #require(local)
    // IP_MTU_DISCOVER of IPPROTO_IP; 5 is IP_PMTUDISC_OMIT.
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
    try UnfragmentedSend.send([UInt8](repeating: 1, count: 1000), over: socket.rawValue, to: peer)
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
    // Larger than any datagram: the error is thrown, and the option is restored.
    let error = #expect(throws: Errno.self) {
      try UnfragmentedSend.send([UInt8](repeating: 1, count: 66_000), over: socket.rawValue, to: peer)
    }
    #expect(error != nil)
    #expect(Sockets.get(socket.rawValue, 0, 10) == 5)
  }
}
