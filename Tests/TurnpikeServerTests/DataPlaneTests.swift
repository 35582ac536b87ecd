import NetIO
import NetworkTypes
import System
import TURN
import Tables
import Testing

@testable import TurnpikeServer

private let loopback = SocketAddress(.ipv4Loopback, port: 0)

@Suite("The data plane of a shard")
struct DataPlaneTests {
  @Test("A turn of the loop gives datagrams before streams", arguments: [DataPlane.Engine.epoll, .ioUring])
  func order(engine: DataPlane.Engine) throws {
    if engine == .ioUring, DataPlane.probeRing() != nil { return }
    var plane = try DataPlane(engine)
    let mailbox = try Mailbox<Int>(capacity: 4)
    let stream = try StreamListener(listeningOn: loopback)
    try plane.loop.add(mailbox.rawValue, EventToken(kind: EventKind.mailbox))
    try plane.loop.add(stream.rawValue, EventToken(kind: EventKind.streamListener))
    let socket = try UDPSocket(listeningOn: loopback)
    let addresses = (stream: stream.localAddress, datagram: socket.localAddress)
    _ = try plane.add(socket)
    // The datagram comes last.
    mailbox.post(1)
    let client = try ClientSocket.tcp(to: #require(addresses.stream))
    let sender = try ClientSocket.udp(to: #require(addresses.datagram))
    let bytes: [UInt8] = [1, 2, 3]
    let sent = try sender.send(bytes.span.rawBytes)
    #expect(sent == 3)
    let count = plane.wait(until: nil)
    let kinds = (0..<count).map { plane.event($0).token.kind }
    #expect(kinds.filter { $0 != EventKind.streams }.first == EventKind.datagramListener)
    #expect(Set(kinds).isSuperset(of: [EventKind.mailbox, EventKind.streamListener]))
    plane.shutDown()
    _ = consume client
    _ = consume sender
  }
}
