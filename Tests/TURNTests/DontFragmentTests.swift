import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 8656 sections 7.2, 11.2 and 14: DONT-FRAGMENT")
struct DontFragmentTests {
  func indication(_ peer: String, _ data: [UInt8], dontFragment: [UInt8]?) -> [UInt8] {
    var writer = MessageWriter(capacity: 4096)
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0, low: 1))
    writer.append(.xorPeerAddress, xor: SocketAddress(peer)!)
    if let dontFragment { writer.append(.dontFragment, dontFragment) }
    writer.append(.data, data)
    return writer.bytes.copied()
  }

  @Test("7.2, step 4: an Allocate with DONT-FRAGMENT is granted")
  func allocate() {
    let client = TestClient(Conversation())
    #expect(client.allocate { $0.append(.dontFragment, [UInt8]()) }?.relayedAddress != nil)
    #expect(TestClient(Conversation()).allocate { $0.append(.dontFragment, [UInt8(1)]) }?.code == 400)
  }

  @Test("11.2: a Send indication with DONT-FRAGMENT is sent with DF and counted; one without is not")
  func send() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.permit("8.8.8.8:1")
    let data = [UInt8](1...200)
    guard case .deferred = client.send(indication("8.8.8.8:7000", data, dontFragment: [])) else {
      Issue.record("not a command")
      return
    }
    let sent = try #require(conversation.unfragmented.first)
    #expect(sent.bytes == data)
    #expect(sent.peer == SocketAddress("8.8.8.8:7000"))
    #expect(conversation.openPorts[sent.port] != nil)
    #expect(conversation.relay.counters.toPeers.packets == 1)
    #expect(client.send(indication("8.8.8.8:7000", data, dontFragment: nil)).peer != nil)
    #expect(conversation.unfragmented.count == 1)
  }

  @Test("Permissions, peer rules and bandwidth apply to DONT-FRAGMENT too, and a wrong length is dropped")
  func checks() {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(100) }
    let client = TestClient(conversation)
    client.allocate()
    #expect(client.send(indication("8.8.8.8:7000", [1], dontFragment: [])).drop == .noPermission)
    client.permit("8.8.8.8:1")
    #expect(client.send(indication("8.8.8.8:7000", [1], dontFragment: [0])).drop == .malformed)
    #expect(client.send(indication("8.8.8.8:0", [1], dontFragment: [])).drop == .invalidPeer)
    _ = client.send(indication("8.8.8.8:7000", [UInt8](repeating: 1, count: 150), dontFragment: []))
    #expect(client.send(indication("8.8.8.8:7000", [1], dontFragment: [])).drop == .overBandwidth)
    #expect(conversation.unfragmented.count == 1)
  }
}
