import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("RFC 8656: an allocation with two relayed addresses")
struct DualAllocationTests {
  func dual(_ client: TestClient, _ body: (inout MessageWriter) -> Void = { _ in }) -> Answer? {
    client.allocate {
      $0.append(.additionalAddressFamily, UInt32(2) << 24)
      body(&$0)
    }
  }

  func refresh(_ client: TestClient, family: UInt32, _ lifetime: UInt32) -> Answer? {
    client.ask(
      client.request(.refresh) {
        $0.append(.lifetime, lifetime)
        $0.append(.requestedAddressFamily, family << 24)
      })
  }

  @Test("7.2, step 9: an IPv4 and an IPv6 address are granted, and a retransmission gets the same answer")
  func both() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) {
      $0.append(.requestedTransport, UInt32(17) << 24)
      $0.append(.additionalAddressFamily, UInt32(2) << 24)
    }
    let first = client.ask(request)
    #expect(first?.relayedAddresses.map(\.family) == [.ipv4, .ipv6])
    #expect(first?.addressError == nil)
    #expect(first?.isSigned == true)
    #expect(conversation.openPorts.count == 2)
    #expect(conversation.admitted == 1)
    #expect(client.ask(request)?.bytes == first?.bytes)
    #expect(conversation.openPorts.count == 2)
  }

  @Test("7.2, step 9: without IPv6 the answer has IPv4 and ADDRESS-ERROR-CODE 440")
  func notSupported() {
    let answer = dual(TestClient(Conversation(hasIPv6: false)))
    #expect(answer?.relayedAddresses.map(\.family) == [.ipv4])
    #expect(answer?.addressError == [2, 440])
  }

  @Test(
    "7.2, step 9: ADDRESS-ERROR-CODE 508 names a family without a free port, in a retransmission too",
    arguments: [IPAddress.Family.ipv4, .ipv6])
  func noCapacity(busy: IPAddress.Family) {
    let conversation = Conversation()
    conversation.busyFamily = busy
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) {
      $0.append(.requestedTransport, UInt32(17) << 24)
      $0.append(.additionalAddressFamily, UInt32(2) << 24)
    }
    let answer = client.ask(request)
    #expect(answer?.relayedAddresses.map(\.family) == [busy == .ipv4 ? .ipv6 : .ipv4])
    #expect(answer?.addressError == [UInt16(busy.rawValue), 508])
    #expect(conversation.openPorts.count == 1)
    #expect(client.ask(request)?.bytes == answer?.bytes)
  }

  @Test("With no free port in either family the answer is 508 and no state is left")
  func neither() {
    let conversation = Conversation(ports: 50_000...50_000)
    #expect(dual(TestClient(conversation))?.relayedAddresses.count == 2)
    #expect(dual(TestClient(conversation, "192.0.2.8:1"))?.code == 508)
    #expect(conversation.admitted == 1)
    #expect(conversation.openPorts.count == 2)
  }

  @Test(
    "7.2, steps 5 to 9: contradicting attributes give 400",
    arguments: [
      (.additionalAddressFamily, [1, 0, 0, 0]), (.additionalAddressFamily, [2]), (.additionalAddressFamily, []),
      (.additionalAddressFamily, [2, 0, 0, 0, 0]), (.additionalAddressFamily, [3, 0, 0, 0]),
    ] as [(AttributeType, [UInt8])])
  func malformed(attribute: AttributeType, value: [UInt8]) {
    #expect(TestClient(Conversation()).allocate { $0.append(attribute, value) }?.code == 400)
  }

  @Test("7.2: ADDITIONAL-ADDRESS-FAMILY with a token, a family or a reservation gives 400")
  func contradictions() {
    let conversation = Conversation()
    #expect(dual(TestClient(conversation)) { $0.append(.reservationToken, UInt64(1)) }?.code == 400)
    #expect(dual(TestClient(conversation)) { $0.append(.requestedAddressFamily, UInt32(1) << 24) }?.code == 400)
    #expect(dual(TestClient(conversation)) { $0.append(.evenPort, [UInt8(0x80)]) }?.code == 400)
    let even = dual(TestClient(conversation)) { $0.append(.evenPort, [UInt8(0)]) }
    #expect(even?.relayedAddresses.map { $0.port % 2 } == [0, 0])
  }

  @Test("8.1: deleting one family deletes its channels and permissions, and none of the other's")
  func deleteFamily() {
    let conversation = Conversation(allow: ["2001:db8::/32"])
    let client = TestClient(conversation)
    #expect(dual(client)?.relayedAddresses.count == 2)
    #expect(client.bind(0x4001, "8.8.8.8:7000")?.code == nil)
    #expect(client.bind(0x4002, "[2001:db8::9]:7000")?.code == nil)
    #expect(client.channelData(0x4001, [1]).peer != nil)
    #expect(client.channelData(0x4002, [1]).peer != nil)

    #expect(refresh(client, family: 2, 0)?.lifetime == 0)
    #expect(client.channelData(0x4001, [1]).peer != nil)
    #expect(client.channelData(0x4002, [1]).drop == .noChannel)
    #expect(client.bind(0x4002, "[2001:db8::9]:7000")?.code == 443)
    #expect(conversation.openPorts.values.map(\.family) == [.ipv4])
    #expect(refresh(client, family: 2, 600)?.code == 443)
    #expect(conversation.admitted == 1)

    #expect(refresh(client, family: 1, 0)?.lifetime == 0)
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.openPorts.isEmpty)
    #expect(conversation.admitted == 0)
  }

  @Test("8.1: each family has its own lifetime, and a Refresh without a family sets both")
  func lifetimes() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    #expect(dual(client)?.lifetime == 600)
    #expect(refresh(client, family: 1, 1200)?.lifetime == 1200)
    conversation.wait(seconds: 601)
    #expect(conversation.openPorts.values.map(\.family) == [.ipv4])
    conversation.wait(seconds: 600)
    #expect(conversation.relay.allocationCount == 0)

    let other = TestClient(conversation, "192.0.2.8:1")
    #expect(dual(other)?.relayedAddresses.count == 2)
    #expect(other.refresh(1200)?.lifetime == 1200)
    conversation.wait(seconds: 1199)
    #expect(conversation.openPorts.count == 2)
    conversation.wait(seconds: 2)
    #expect(conversation.openPorts.isEmpty)
  }

  @Test("8.1: a family that was refreshed to a shorter lifetime ends first, the other later")
  func shorter() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    #expect(dual(client) { $0.append(.lifetime, UInt32(3600)) }?.lifetime == 3600)
    #expect(refresh(client, family: 2, 600)?.lifetime == 600)
    conversation.wait(seconds: 601)
    #expect(conversation.openPorts.values.map(\.family) == [.ipv4])
    conversation.wait(seconds: 3000)
    #expect(conversation.relay.allocationCount == 0)
  }

  @Test("Data leaves from the relayed address of the peer's family")
  func families() {
    let conversation = Conversation(allow: ["2001:db8::/32"])
    let client = TestClient(conversation)
    let answer = dual(client)
    #expect(client.permit("8.8.8.8:1", "[2001:db8::9]:1")?.code == nil)
    for (peer, index) in [("8.8.8.8:7000", 0), ("[2001:db8::9]:7000", 1)] {
      guard case .toPeer(let port, let destination, _, _) = client.sendIndication(peer, [1, 2]) else {
        Issue.record("not sent to \(peer)")
        continue
      }
      #expect(destination == SocketAddress(peer))
      #expect(conversation.openPorts[port] == answer?.relayedAddresses[index])
    }
  }
}

@Suite("Quarantine of relay ports")
struct QuarantineTests {
  @Test("A released port is kept from another user for 60 s; the same user gets it at once")
  func quarantine() {
    // Two ports: one stays free, so that no port has to be reused during its quarantine.
    let conversation = Conversation(ports: 50_000...50_001)
    let alice = TestClient(conversation)
    let left = alice.allocate()?.relayedAddress
    #expect(alice.refresh(0)?.lifetime == 0)
    for round in 0..<20 {
      let bob = TestClient(conversation, "192.0.2.8:\(1000 + round)")
      (bob.username, bob.key) = ("bob", Conversation.otherKey)
      let got = bob.allocate()?.relayedAddress
      #expect(got != nil && got != left)
      #expect(bob.refresh(0)?.lifetime == 0)
    }
    conversation.wait(seconds: 61)
    var seen: Set<UInt16> = []
    for round in 0..<40 {
      let client = TestClient(conversation, "192.0.2.9:\(1000 + round)")
      (client.username, client.key) = ("bob", Conversation.otherKey)
      if let port = client.allocate()?.relayedAddress?.port { seen.insert(port) }
      client.refresh(0)
      conversation.wait(seconds: 61)
    }
    #expect(seen == [50_000, 50_001])
  }

  @Test("A port in quarantine is given out if no other is free")
  func yields() {
    let conversation = Conversation(ports: 50_000...50_000)
    let alice = TestClient(conversation)
    #expect(alice.allocate()?.relayedAddress?.port == 50_000)
    #expect(alice.refresh(0)?.lifetime == 0)
    #expect(alice.allocate()?.relayedAddress?.port == 50_000)
    #expect(alice.refresh(0)?.lifetime == 0)
    let bob = TestClient(conversation, "192.0.2.8:1")
    (bob.username, bob.key) = ("bob", Conversation.otherKey)
    #expect(bob.allocate()?.relayedAddress?.port == 50_000)
  }
}

@Suite("Strict reading of requests")
struct StrictnessTests {
  static let wrongForms: [(AttributeType, [UInt8])] = [
    (.channelNumber, [0x40, 0x01]), (.lifetime, [0, 1]), (.lifetime, [0, 0, 0, 0, 1]), (.xorPeerAddress, [0, 1, 2]),
    (.xorPeerAddress, [0, 3, 0, 1, 1, 2, 3, 4]), (.requestedAddressFamily, [1]), (.evenPort, [0x80, 0]),
    (.requestedTransport, [17]), (.dontFragment, [0]), (.reservationToken, [0, 0, 0, 0]),
  ]

  @Test(
    "A known attribute of a wrong length gives 400 for every method, signed, and changes nothing",
    arguments: wrongForms)
  func malformed(attribute: AttributeType, value: [UInt8]) {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let refused = client.allocate { $0.append(attribute, value) }
    #expect(refused?.code == 400 || attribute == .requestedTransport)
    if attribute == .requestedTransport { return }
    #expect(refused?.isSigned == true)
    client.allocate()
    let before = conversation.relay.allocations[Slot(index: 0)].expiresAt
    conversation.tick(seconds: 10)
    for method in [STUN.Method.refresh, .createPermission, .channelBind] {
      let request = client.request(method) {
        $0.append(attribute, value)
        if method == .channelBind, attribute != .channelNumber { $0.append(.channelNumber, UInt32(0x4001) << 16) }
        if attribute != .xorPeerAddress { $0.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:1")!) }
      }
      #expect(client.ask(request)?.code == 400, "\(method)")
    }
    #expect(conversation.relay.allocations[Slot(index: 0)].expiresAt == before)
    #expect(conversation.relay.permissions.count == 0)
    #expect(conversation.relay.channels.count == 0)
  }

  @Test("7.2, step 2 precedes step 3: an Allocate on a used five-tuple gives 437, whatever else is wrong")
  func order() {
    let client = TestClient(Conversation())
    client.allocate()
    #expect(client.ask(client.request(.allocate) { $0.append(.requestedTransport, [17]) })?.code == 437)
  }

  @Test(
    "A 420 names the attributes of unsupported extensions",
    arguments: [(.changeRequest, 0x0003), (.padding, 0x0026), (.responsePort, 0x0027)] as [(AttributeType, UInt16)])
  func extensions(attribute: AttributeType, code: UInt16) {
    let client = TestClient(Conversation())
    let answer = client.ask(client.request(.binding, signs: false) { $0.append(attribute, UInt32(2)) })
    #expect(answer?.code == 420)
    #expect(answer?.unknown == [0, UInt8(code)])
  }

  @Test("RFC 8489, 14: the first of several attributes of a type counts")
  func duplicates() {
    let client = TestClient(Conversation())
    client.allocate()
    let request = client.request(.refresh) {
      $0.append(.lifetime, UInt32(700))
      $0.append(.lifetime, UInt32(0))
    }
    #expect(client.ask(request)?.lifetime == 700)
  }

  @Test("Comprehension-optional attributes may have any form")
  func optional() {
    let client = TestClient(Conversation())
    let answer = client.allocate {
      $0.append(.software, [UInt8](repeating: 0xFF, count: 3))
      $0.append(AttributeType(rawValue: 0xC001), [UInt8]())
      $0.append(AttributeType(rawValue: 0x8029), [1, 2, 3])
    }
    #expect(answer?.relayedAddress != nil)
  }
}
