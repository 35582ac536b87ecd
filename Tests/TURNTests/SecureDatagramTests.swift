import NetworkTypes
import Testing

@testable import TURN

@Suite("DTLS and plain UDP from one port")
struct SecureDatagramTests {
  @Test("Plain UDP from the five-tuple of a DTLS client is a different client")
  func plainBytes() {
    let conversation = Conversation()
    let secure = TestClient(conversation, transport: .dtls)
    let plain = TestClient(conversation, transport: .udp)
    secure.allocate()
    secure.bind(0x4001, "9.9.9.9:9")
    #expect(secure.path.address == plain.path.address && secure.path.endpoint == plain.path.endpoint)
    guard case .toPeer = secure.channelData(0x4001, [1]) else {
      Issue.record("not relayed")
      return
    }
    guard case .drop(.noAllocation) = plain.channelData(0x4001, [1]) else {
      Issue.record("relayed")
      return
    }
    // The plain client can have its own allocation.
    plain.allocate()
    #expect(conversation.relay.allocationCount == 2)
  }
}
