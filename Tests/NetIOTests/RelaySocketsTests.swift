internal import NetworkTypes
internal import System
internal import Tables
internal import Testing

@testable internal import NetIO

@Suite("Sockets of relayed transport addresses")
struct RelaySocketsTests {
  private func socket() throws -> UDPSocket { try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0)) }

  private func handle(_ index: UInt32, _ generation: UInt32 = 1) -> Handle<RelaySockets.Entry> {
    Handle(index: index, generation: generation)
  }

  @Test("A handle finds its own socket only, beyond the first 64 too")
  func finding() throws {
    var sockets = RelaySockets()
    for index: UInt32 in [0, 63, 64, 1000] {
      let opened = try socket()
      let descriptor = opened.rawValue
      sockets.insert(opened, at: handle(index))
      #expect(sockets.descriptor(handle(index)) == descriptor && sockets.find(descriptor) == handle(index))
    }
    #expect(sockets.count == 4)
    #expect(sockets.descriptor(handle(1)) == nil && sockets.descriptor(handle(0, 3)) == nil)
    #expect(sockets.descriptor(handle(.max)) == nil && sockets.find(-1) == nil && sockets.find(100_000) == nil)
  }

  @Test("The caller closes a removed socket, and its stale handle finds nothing")
  func removing() throws {
    var sockets = RelaySockets()
    sockets.insert(try socket(), at: handle(2))
    let removed = sockets.remove(handle(2))
    let descriptor = try #require(removed)
    #expect(sockets.count == 0 && sockets.descriptor(handle(2)) == nil && sockets.find(descriptor) == nil)
    let again = sockets.remove(handle(2))
    #expect(again == nil)
    sockets.insert(try socket(), at: handle(2, 3))
    #expect(sockets.descriptor(handle(2)) == nil && sockets.descriptor(handle(2, 3)) != nil)
    _ = FileDescriptor(owning: descriptor)
  }

  @Test("The read limit of a socket follows the datagrams it delivered, up to 16")
  func limits() throws {
    var sockets = RelaySockets()
    sockets.insert(try socket(), at: handle(0))
    #expect(sockets.receiveLimit(handle(0)) == 1 && sockets.receiveLimit(handle(9999)) == 1)
    for expected in [2, 4, 8, 16, 16] {
      let limit = sockets.receiveLimit(handle(0))
      sockets.learn(handle(0), asked: limit, received: limit)
      #expect(sockets.receiveLimit(handle(0)) == expected)
    }
    sockets.learn(handle(0), asked: 16, received: 3)
    #expect(sockets.receiveLimit(handle(0)) == 3)
    sockets.learn(handle(0), asked: 3, received: 0)
    #expect(sockets.receiveLimit(handle(0)) == 1)
  }
}
