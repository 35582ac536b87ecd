import NetworkTypes
import Testing

@testable import TURN

@Suite("DTLS and plain UDP from one port")
struct SecureDatagramTests {
  @Test func `Plain bytes with the five-tuple of a DTLS client are not that client`() {
    let conversation = Conversation()
    let secure = TestClient(conversation, transport: .dtls)
    let plain = TestClient(conversation, transport: .udp)
    secure.allocate()
    secure.bind(0x4001, "9.9.9.9:9")
    #expect(secure.path.address == plain.path.address && secure.path.endpoint == plain.path.endpoint)
    guard case .toPeer = secure.channelData(0x4001, [1]) else { Issue.record("not relayed"); return }
    guard case .drop(.noAllocation) = plain.channelData(0x4001, [1]) else { Issue.record("relayed"); return }
    // And it may have an allocation of its own.
    plain.allocate()
    #expect(conversation.relay.allocationCount == 2)
  }
}
