import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("RFC 6062: TCP relaying")
struct TCPRelayTests {
  static let peer = "8.8.8.8:80"

  /// A control connection with a TCP allocation.
  func allocated(_ conversation: Conversation) throws -> (client: TestClient, relayed: SocketAddress) {
    let client = TestClient(conversation, transport: .tcp)
    return (client, try #require(client.allocate(.tcp)?.relayedAddress))
  }

  /// Another connection of the same client host, which has a nonce.
  func dataConnection(
    _ conversation: Conversation, _ address: String = "192.0.2.7:5001", transport: TransportProtocol = .tcp
  ) -> TestClient {
    let client = TestClient(conversation, address, transport: transport, connection: 4)
    client.challenge()
    return client
  }

  func connect(_ client: TestClient, _ peer: String = peer) -> Answer? {
    client.ask(client.request(.connect) { $0.append(.xorPeerAddress, xor: SocketAddress(peer)!) })
  }

  /// Sends a Connect, and reports the connection as established.
  func connected(_ conversation: Conversation, _ client: TestClient, _ peer: String = peer) throws -> (
    id: Handle<PeerConnection>, identifier: UInt32
  ) {
    #expect(connect(client, peer) == nil)
    let id = try #require(conversation.connects.last).id
    let before = conversation.lateReplies.count
    conversation.relay.peerConnected(id, now: conversation.now)
    conversation.runCommands()
    let answer = try #require(client.read(conversation.lateReplies[before].1))
    #expect(answer.type == MessageType(.connect, .success))
    #expect(answer.isSigned)
    return (id, try #require(answer.connectionID))
  }

  func bind(_ client: TestClient, _ identifier: UInt32?) -> Answer? {
    client.ask(client.request(.connectionBind) { if let identifier { $0.append(.connectionID, identifier) } })
  }

  func accept(_ conversation: Conversation, _ peer: String, on relayed: SocketAddress) -> Handle<PeerConnection>? {
    let local = conversation.relayed.translated(relayed.address)
    guard let port = conversation.openPorts.first(where: { $0.value == SocketAddress(local, port: relayed.port) })
    else { return nil }
    let id = conversation.relay.peerAccepted(SocketAddress(peer)!, on: port.key, now: conversation.now)
    conversation.runCommands()
    return id
  }

  // MARK: - 5.1 Allocate

  @Test("5.1: REQUESTED-TRANSPORT 6 opens a listener over TCP and TLS, and gives 400 over UDP and DTLS")
  func transports() {
    for transport in TransportProtocol.allCases {
      let conversation = Conversation()
      let answer = TestClient(conversation, transport: transport).allocate(.tcp)
      #expect(answer?.code == (transport.isStream ? nil : 400))
      #expect(conversation.openPorts.count == (transport.isStream ? 1 : 0))
      #expect(answer?.token == nil)
    }
  }

  @Test("5.1: another protocol gives 442, and so does TCP with relay.tcp: false")
  func unsupported() {
    let off = Conversation { $0.policy.relaysTCP = false }
    #expect(TestClient(off, transport: .tcp).allocate(.tcp)?.code == 442)
    let client = TestClient(Conversation(), transport: .tcp)
    client.challenge()
    #expect(client.ask(client.request(.allocate) { $0.append(.requestedTransport, UInt32(132) << 24) })?.code == 442)
  }

  @Test(
    "5.1: DONT-FRAGMENT, EVEN-PORT and RESERVATION-TOKEN give 400",
    arguments: [
      (AttributeType.dontFragment, [UInt8]()), (.evenPort, [0]), (.evenPort, [0x80]),
      (.reservationToken, [1, 2, 3, 4, 5, 6, 7, 8]),
    ])
  func datagramsOnly(attribute: AttributeType, value: [UInt8]) {
    let conversation = Conversation()
    #expect(TestClient(conversation, transport: .tcp).allocate(.tcp) { $0.append(attribute, value) }?.code == 400)
    #expect(conversation.openPorts.isEmpty)
  }

  @Test("New rules close the connections that they forbid, and keep the others")
  func newRules() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let kept = try connected(conversation, client, "8.8.8.8:80")
    let forbidden = try connected(conversation, client, "9.9.9.9:80")
    _ = (kept, forbidden)
    let settings = conversation.relay.settings
    conversation.relay.update(
      settings: settings,
      gate: PeerGate(
        rules: PeerRules(deny: [CIDRBlock("9.9.9.9/32")!]), relayed: conversation.relayed, ownAddresses: [], closed: [])
    )
    conversation.runCommands()
    #expect(conversation.closedPipes.count == 1)
    #expect(connect(client, "8.8.8.8:80")?.code == 446)
    #expect(connect(client, "9.9.9.9:80")?.code == 403)
  }

  @Test("A TCP allocation carries no datagrams: ChannelBind gives 400, Send is dropped")
  func noDatagrams() throws {
    let (client, _) = try allocated(Conversation())
    client.permit("8.8.8.8:0")
    #expect(client.bind(0x4000, Self.peer)?.code == 400)
    #expect(client.sendIndication(Self.peer, [1]).drop == .invalidPeer)
  }

  @Test("Quotas count TCP allocations, and Refresh with lifetime 0 closes the listener and frees the port")
  func ends() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    #expect(conversation.relayed.isLive(relayed.address, port: relayed.port, .tcp))
    #expect(!conversation.relayed.isLive(relayed.address, port: relayed.port))
    conversation.quota = 1
    #expect(TestClient(conversation, "192.0.2.8:1", transport: .tcp).allocate(.tcp)?.code == 486)
    #expect(client.refresh(0)?.lifetime == 0)
    #expect(conversation.openPorts.isEmpty)
    #expect(!conversation.relayed.isLive(relayed.address, port: relayed.port, .tcp))
    #expect(conversation.admitted == 0)
  }

  // MARK: - 5.2 Connect

  @Test("5.2: Connect leaves from the relayed address, and is answered once it is connected")
  func connecting() throws {
    let conversation = Conversation(advertise: "198.51.100.1")
    let (client, relayed) = try allocated(conversation)
    _ = try connected(conversation, client)
    #expect(conversation.connects[0].from == SocketAddress(IPAddress("203.0.113.1")!, port: relayed.port))
    #expect(conversation.connects[0].to == SocketAddress(Self.peer)!)
  }

  @Test("5.2: Connect gives 437 without an allocation, 441 for another user's, 400 on a UDP allocation")
  func noAllocation() throws {
    let conversation = Conversation()
    #expect(connect(dataConnection(conversation))?.code == 437)
    let (client, _) = try allocated(conversation)
    client.username = "bob"
    client.key = Conversation.otherKey
    #expect(connect(client)?.code == 441)
    let udp = TestClient(conversation, "192.0.2.9:1", transport: .tcp, connection: 9)
    udp.allocate()
    #expect(connect(udp)?.code == 400)
  }

  @Test("5.2: a missing or malformed peer and port 0 give 400, another family 443, a forbidden peer 403")
  func badPeers() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    #expect(client.ask(client.request(.connect))?.code == 400)
    #expect(client.ask(client.request(.connect) { $0.append(.xorPeerAddress, [0, 1, 2]) })?.code == 400)
    #expect(connect(client, "8.8.8.8:0")?.code == 400)
    #expect(connect(client, "[2001:4860::8]:80")?.code == 443)
    for peer in [
      "127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "0.0.0.0:80", "192.168.1.1:80", "203.0.113.1:3478",
      // A relayed port is allowed only with the relay's protocol and while it is in use.
      "203.0.113.1:50001", "224.0.0.1:80", "255.255.255.255:80",
    ] {
      guard peer != "203.0.113.1:\(relayed.port)" else { continue }
      #expect(connect(client, peer)?.code == 403, "\(peer)")
    }
    #expect(conversation.connects.isEmpty)
  }

  @Test("A UDP relay reaches no TCP port of the same number, and a TCP relay no UDP port")
  func protocolsApart() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let udp = try #require(TestClient(conversation, "192.0.2.9:1").allocate()?.relayedAddress)
    #expect(connect(client, "\(udp)")?.code == 403)
    let other = TestClient(conversation, "192.0.2.10:1", transport: .tcp, connection: 8)
    let tcp = try #require(other.allocate(.tcp)?.relayedAddress)
    #expect(connect(client, "\(tcp)") == nil)
    #expect(conversation.connects.last?.to == tcp)
    let sender = TestClient(conversation, "192.0.2.11:1")
    sender.allocate()
    sender.permit("\(tcp)")
    #expect(sender.sendIndication("\(tcp)", [1]).drop == .forbiddenPeer)
  }

  @Test("5.2: the same peer again gives 446 while the first connection is opening, pending or bound")
  func twice() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    #expect(connect(client) == nil)
    #expect(connect(client)?.code == 446)
    let id = conversation.connects[0].id
    conversation.relay.peerConnected(id, now: conversation.now)
    conversation.runCommands()
    #expect(connect(client)?.code == 446)
    let identifier = try #require(client.read(conversation.lateReplies.last?.1 ?? [])?.connectionID)
    #expect(bind(dataConnection(conversation), identifier)?.code == nil)
    #expect(connect(client)?.code == 446)
    // Another port of the host is another peer.
    #expect(connect(client, "8.8.8.8:81") == nil)
    conversation.relay.pipeEnded(id)
    conversation.runCommands()
    #expect(connect(client) == nil)
  }

  @Test("5.2: a refused connection gives 447 after 200 ms at the earliest, a silent one after 30 seconds")
  func failures() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    #expect(connect(client) == nil)
    let before = conversation.lateReplies.count
    conversation.relay.peerConnectionFailed(conversation.connects[0].id, .refused, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.lateReplies.count == before)
    // Later reports about the same connection have no effect.
    conversation.relay.peerConnected(conversation.connects[0].id, now: conversation.now)
    conversation.relay.peerConnectionFailed(conversation.connects[0].id, .noCapacity, now: conversation.now)
    let deadline = conversation.relay.nextDeadline
    #expect(try #require(deadline).nanoseconds - conversation.now.instant.nanoseconds >= 200_000_000)
    conversation.wait(seconds: 1)
    #expect(client.read(conversation.lateReplies.last?.1 ?? [])?.code == 447)
    #expect(conversation.closedPipes.isEmpty)
    #expect(connect(client) == nil)
    let count = conversation.lateReplies.count
    conversation.wait(seconds: 29)
    #expect(conversation.lateReplies.count == count)
    conversation.wait(seconds: 2)
    let answer = client.read(conversation.lateReplies.last?.1 ?? [])
    #expect(answer?.code == 447)
    #expect(answer?.isSigned == true)
    #expect(conversation.closedPipes == [conversation.connects[1].id])
    // The kernel reports the connection too late.
    conversation.relay.peerConnected(conversation.connects[1].id, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.closedPipes.count == 2)
    #expect(conversation.relay.peerConnections.count == 0)
  }

  @Test("A server without a free socket gives 508, and so does a full allocation")
  func capacity() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    #expect(connect(client) == nil)
    conversation.relay.peerConnectionFailed(conversation.connects[0].id, .noCapacity, now: conversation.now)
    conversation.runCommands()
    #expect(client.read(conversation.lateReplies.last?.1 ?? [])?.code == 508)
    for port in 1...Relay.connectionsPerAllocation { #expect(connect(client, "8.8.4.4:\(port)") == nil) }
    #expect(connect(client, "8.8.4.4:9999")?.code == 508)
  }

  @Test("5.2: a connection that is not bound is closed after 30 seconds")
  func unbound() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let (id, identifier) = try connected(conversation, client)
    let data = dataConnection(conversation)
    conversation.wait(seconds: 29)
    #expect(conversation.closedPipes.isEmpty)
    conversation.tick(seconds: 1)
    #expect(bind(data, identifier)?.code == 400)
    conversation.wait(seconds: 1)
    #expect(conversation.closedPipes == [id])
  }

  // MARK: - Bandwidth

  @Test("The bytes of pipes are counted, and a pipe pauses after one second's worth")
  func bandwidth() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(100_000) }
    let (client, _) = try allocated(conversation)
    let (id, _) = try connected(conversation, client)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: true, now: conversation.now) == .zero)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: false, now: conversation.now) == .zero)
    let pause = conversation.relay.pipeCarried(90_000, id, toPeer: true, now: conversation.now)
    #expect((Duration.milliseconds(490)...(.milliseconds(510))).contains(pause))
    conversation.tick(seconds: 2)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: true, now: conversation.now) == .zero)
    client.refresh(0)
    let summary = conversation.events.compactMap {
      if case .allocationClosed(let summary, _) = $0 { summary } else { nil }
    }
    #expect(summary.first?.toPeers.bytes == 210_000)
    #expect(conversation.relay.pipeCarried(1, id, toPeer: true, now: conversation.now) == .zero)
  }
}
