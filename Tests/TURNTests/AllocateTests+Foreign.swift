import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Faults of other servers.
extension AllocateTests {
  @Test("EVEN-PORT with R=0 takes one even port and leaves the odd one to others; all ports are free again at the end")
  func evenPortAlone() throws {
    let conversation = Conversation(ports: 50_000...50_003)
    let clients = (1...5).map { TestClient(conversation, "192.0.2.\($0):5000") }
    let even = try (0..<2).map { try #require(clients[$0].allocate { $0.append(.evenPort, [UInt8(0)]) }) }
    #expect(even.allSatisfy { $0.token == nil })
    #expect(even.compactMap { $0.relayedAddress?.port }.sorted() == [50_000, 50_002])
    #expect(conversation.openPorts.count == 2)
    // There is no third even port; the odd ones were not taken.
    #expect(clients[2].allocate { $0.append(.evenPort, [UInt8(0)]) }?.code == 508)
    let odd = try (2..<4).map { try #require(clients[$0].allocate()?.relayedAddress?.port) }
    #expect(odd.sorted() == [50_001, 50_003])
    #expect(clients[4].allocate()?.code == 508)
    for client in clients.prefix(4) { client.refresh(0) }
    #expect(conversation.openPorts.isEmpty && conversation.admitted == 0)
    conversation.wait(seconds: 61)
    for client in clients.prefix(4) { #expect(client.allocate()?.relayedAddress != nil) }
  }

  @Test("ORIGIN has no effect: neither on the realm of the challenge nor on an allocation, and nothing of it is kept")
  func origin() throws {
    let origin = AttributeType(rawValue: 0x802F)
    let text = Array("https://evil.example".utf8)
    let conversation = Conversation()
    let client = TestClient(conversation)
    let plain = client.ask(client.request(.allocate, signs: false) { $0.append(.requestedTransport, UInt32(17) << 24) })
    let named = client.ask(
      client.request(.allocate, signs: false) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(origin, text)
      })
    func realm(_ answer: Answer?) -> [UInt8]? {
      answer.flatMap { (try? MessageView($0.bytes.span.rawBytes))?.value(of: .realm)?.copied() }
    }
    #expect(named?.code == 401 && realm(named) == Array(Conversation.realm.utf8) && realm(named) == realm(plain))
    #expect(named?.unknown == nil)
    client.nonce = named?.nonce ?? []
    #expect(client.allocate { $0.append(origin, text) }?.relayedAddress != nil)
    // A later request with another ORIGIN is the same user's.
    #expect(client.ask(client.request(.refresh) { $0.append(origin, [1]) })?.lifetime == 600)
    #expect(client.permit("8.8.8.8:1")?.code == nil)
  }
}
