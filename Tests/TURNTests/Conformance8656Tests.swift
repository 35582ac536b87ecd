import NetworkTypes
import STUN
import Testing

@testable import TURN

/// RFC 8656, section by section, as far as a server can violate it. TCP relaying (RFC 6062), discovery (RFC 5780) and
/// mobility (RFC 8016) have suites of their own, named by section as well.
@Suite("Conformance: RFC 8656")
struct Conformance8656Tests {
  @Test(
    "Each requirement of the RFC is met",
    arguments: allocations + refreshing + permissions + sending + channels + headers)
  func server(requirement: Requirement) throws { try requirement.check() }

  // MARK: - Sections 5 and 7

  static let allocations = [
    Requirement(
      "5", "only the owner's requests are accepted for an allocation; other valid credentials give 441"
    ) {
      for method in [STUN.Method.refresh, .createPermission, .channelBind, .connect] {
        let (scene, _) = try Scene.allocated()
        scene.client.username = "bob"
        scene.client.key = Conversation.otherKey
        let answer = scene.ask(method) { Scene.peer("8.8.8.8:1", &$0) }
        #expect(answer?.code == 441 && answer?.isSigned == true)
        #expect(scene.conversation.relay.allocationCount == 1)
      }
    },
    Requirement("5", "every request except Binding needs credentials") {
      let (scene, _) = try Scene.allocated()
      for method in [STUN.Method.allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind] {
        #expect(scene.ask(method, signs: false)?.code == 401)
      }
    },
    Requirement("7.2", "step 1: authentication is the first check") {
      #expect(Scene().ask(.allocate, signs: false)?.code == 401)
    },
    Requirement(
      "7.2", "step 2: a used five-tuple gives 437, whatever else is wrong; a retransmission gets the same answer"
    ) {
      let (scene, _) = try Scene.allocated()
      #expect(scene.allocate(Scene.udp)?.code == 437)
      #expect(scene.allocate()?.code == 437)
      #expect(scene.allocate((.requestedTransport, [99, 0, 0, 0]))?.code == 437)
      #expect(scene.conversation.relay.allocationCount == 1)
    },
    Requirement(
      "7.2",
      "step 3: a missing or malformed REQUESTED-TRANSPORT gives 400, an unknown protocol 442; reserved bits are ignored"
    ) {
      #expect(Scene().allocate()?.code == 400)
      for value in [[UInt8](), [17], [17, 0, 0], [17, 0, 0, 0, 0]] {
        #expect(Scene().allocate((.requestedTransport, value))?.code == 400)
      }
      for number in [UInt8(0), 1, 16, 18, 33, 132, 255] {
        #expect(Scene().allocate((.requestedTransport, [number, 0, 0, 0]))?.code == 442)
      }
      #expect(Scene().allocate((.requestedTransport, [17, 0xFF, 0xFF, 0xFF]))?.code == nil)
    },
    Requirement("7.2", "step 4: DONT-FRAGMENT is supported; with a value it gives 400") {
      #expect(Scene().allocate(Scene.udp, (.dontFragment, []))?.code == nil)
      #expect(Scene().allocate(Scene.udp, (.dontFragment, [0]))?.code == 400)
    },
    Requirement("7.2", "step 5: RESERVATION-TOKEN with EVEN-PORT or a family gives 400") {
      let token: (AttributeType, [UInt8]) = (.reservationToken, [1, 2, 3, 4, 5, 6, 7, 8])
      #expect(Scene().allocate(Scene.udp, token, (.evenPort, [0]))?.code == 400)
      #expect(Scene().allocate(Scene.udp, token, (.requestedAddressFamily, Scene.family(1)))?.code == 400)
      #expect(Scene().allocate(Scene.udp, token, (.additionalAddressFamily, Scene.family(2)))?.code == 400)
    },
    Requirement("7.2", "step 5: a malformed token gives 400, an invalid one 508") {
      for count in [0, 7, 9] {
        #expect(Scene().allocate(Scene.udp, (.reservationToken, [UInt8](repeating: 1, count: count)))?.code == 400)
      }
      #expect(Scene().allocate(Scene.udp, (.reservationToken, [0, 0xC3, 0x50, 0, 0, 0, 0, 0]))?.code == 508)
    },
    Requirement("7.2", "step 6: both family attributes together give 400") {
      let answer = Scene().allocate(
        Scene.udp, (.requestedAddressFamily, Scene.family(1)), (.additionalAddressFamily, Scene.family(2)))
      #expect(answer?.code == 400)
    },
    Requirement(
      "7.2", "step 7: an unknown or unsupported family gives 440; none means IPv4; reserved bits are ignored"
    ) {
      #expect(Scene().allocate(Scene.udp, (.requestedAddressFamily, Scene.family(3)))?.code == 440)
      #expect(Scene().allocate(Scene.udp, (.requestedAddressFamily, Scene.family(0)))?.code == 440)
      #expect(Scene(hasIPv6: false).allocate(Scene.udp, (.requestedAddressFamily, Scene.family(2)))?.code == 440)
      #expect(Scene().allocate(Scene.udp)?.relayedAddress?.family == .ipv4)
      #expect(Scene().allocate(Scene.udp, (.requestedAddressFamily, [2, 9, 9, 9]))?.relayedAddress?.family == .ipv6)
      #expect(Scene().allocate(Scene.udp, (.requestedAddressFamily, [2]))?.code == 400)
    },
    Requirement("7.2", "step 8: EVEN-PORT gives an even port, with R a token too; R with a second family gives 400") {
      for _ in 0..<5 {
        let answer = Scene().allocate(Scene.udp, (.evenPort, [0]))
        #expect((answer?.relayedAddress?.port ?? 1) & 1 == 0)
        #expect(answer?.token == nil)
      }
      #expect(Scene().allocate(Scene.udp, (.evenPort, [0x80]))?.token != nil)
      #expect(
        Scene().allocate(Scene.udp, (.evenPort, [0x80]), (.additionalAddressFamily, Scene.family(2)))?.code == 400)
      #expect(Scene().allocate(Scene.udp, (.evenPort, []))?.code == 400)
      #expect(Scene().allocate(Scene.udp, (.evenPort, [0, 0]))?.code == 400)
    },
    Requirement(
      "7.2", "step 9: ADDITIONAL-ADDRESS-FAMILY for IPv4, or a malformed one, gives 400 although it is optional"
    ) {
      #expect(Scene().allocate(Scene.udp, (.additionalAddressFamily, Scene.family(1)))?.code == 400)
      #expect(Scene().allocate(Scene.udp, (.additionalAddressFamily, Scene.family(7)))?.code == 400)
      #expect(Scene().allocate(Scene.udp, (.additionalAddressFamily, [2]))?.code == 400)
    },
    Requirement("7.2", "step 9: both families are granted if available, else ADDRESS-ERROR-CODE names the other") {
      let both = Scene().allocate(Scene.udp, (.additionalAddressFamily, Scene.family(2)))
      #expect(both?.relayedAddresses.map(\.family) == [.ipv4, .ipv6] && both?.addressError == nil)
      let one = Scene(hasIPv6: false).allocate(Scene.udp, (.additionalAddressFamily, Scene.family(2)))
      #expect(one?.relayedAddresses.count == 1 && one?.addressError == [2, 440])
      let scene = Scene()
      scene.conversation.busyFamily = .ipv6
      let busy = scene.allocate(Scene.udp, (.additionalAddressFamily, Scene.family(2)))
      #expect(busy?.relayedAddresses.map(\.family) == [.ipv4] && busy?.addressError == [2, 508])
    },
    Requirement("7.2", "step 10: a reached quota gives 486, counted by user name") {
      let scene = Scene()
      scene.conversation.quota = 0
      #expect(scene.allocate(Scene.udp)?.code == 486)
      #expect(scene.conversation.openPorts.isEmpty)
    },
    Requirement("7.2", "step 11: redirection to another server gives 300") {
      let scene = Scene { $0.policy.redirect = Redirect(AlternateServer(IPAddress("198.51.100.9")!, port: 9)) }
      #expect(scene.allocate(Scene.udp)?.code == 300)
      #expect(scene.conversation.openPorts.isEmpty)
    },
    Requirement("7.2", "without a free port Allocate gives 508") {
      let scene = Scene()
      scene.conversation.busyPorts = 1000
      #expect(scene.allocate(Scene.udp)?.code == 508)
      #expect(scene.conversation.admitted == 0)
    },
    Requirement("7.2", "the lifetime is the requested one, at least the default, at most the maximum") {
      for (wish, granted) in [
        (UInt32?.none, UInt32(600)), (0, 600), (599, 600), (601, 601), (3600, 3600), (.max, 3600),
      ] {
        let answer = Scene().ask(.allocate) {
          $0.append(.requestedTransport, UInt32(17) << 24)
          if let wish { $0.append(.lifetime, wish) }
        }
        #expect(answer?.lifetime == granted)
      }
      #expect(Scene().allocate(Scene.udp, (.lifetime, [0, 0, 1]))?.code == 400)
    },
    Requirement("7.2", "success has XOR-RELAYED-ADDRESS, LIFETIME and XOR-MAPPED-ADDRESS, and is signed") {
      let scene = Scene()
      let answer = try #require(scene.allocate(Scene.udp))
      #expect(answer.relayedAddress?.address == IPAddress("203.0.113.1"))
      #expect(answer.mappedAddress == scene.client.path.address)
      #expect(answer.lifetime != nil && answer.isSigned)
      #expect(answer.token == nil && answer.ticket == nil)
    },
    Requirement("7.2", "ports are of the configured range, which has no well-known ports by default") {
      #expect((50_000...50_999).contains(Scene().allocate(Scene.udp)?.relayedAddress?.port ?? 0))
    },
    Requirement("7.2", "a reservation is held for 30 seconds, and its token is valid once") {
      let scene = Scene()
      let answer = try #require(scene.allocate(Scene.udp, (.evenPort, [0x80])))
      let token = try #require(answer.token)
      scene.conversation.wait(seconds: 29)
      let other = TestClient(scene.conversation, "192.0.2.8:1")
      #expect(
        other.allocate(.udp) { $0.append(.reservationToken, token) }?.relayedAddress?.port
          == answer.relayedAddress.map { $0.port + 1 })
      #expect(
        TestClient(scene.conversation, "192.0.2.9:1").allocate(.udp) { $0.append(.reservationToken, token) }?.code
          == 508)
    },
    Requirement("7.2", "an error leaves no state") {
      let scene = Scene()
      _ = scene.allocate(Scene.udp, (.lifetime, [1]))
      _ = scene.allocate(Scene.udp, (.xorPeerAddress, [1]))
      _ = scene.allocate(Scene.udp, (.mobilityTicket, [1]))
      #expect(scene.conversation.relay.allocationCount == 0 && scene.conversation.openPorts.isEmpty)
      #expect(scene.conversation.admitted == 0)
    },
  ]

  // MARK: - Section 8

  static let refreshing = [
    Requirement("8.2", "Refresh without an allocation gives 437") { #expect(Scene().ask(.refresh)?.code == 437) },
    Requirement("8.2", "a family that the allocation does not have gives 443, and so does an unknown one") {
      let (scene, _) = try Scene.allocated()
      for code in [UInt8(2), 0, 9] {
        #expect(scene.ask(.refresh) { $0.append(.requestedAddressFamily, Scene.family(code)) }?.code == 443)
      }
      #expect(scene.ask(.refresh) { $0.append(.requestedAddressFamily, Scene.family(1)) }?.code == nil)
    },
    Requirement("8.2", "lifetime 0 deletes the allocation before the answer, which has lifetime 0") {
      let (scene, _) = try Scene.allocated()
      let answer = scene.ask(.refresh) { $0.append(.lifetime, UInt32(0)) }
      #expect(answer?.lifetime == 0)
      #expect(scene.conversation.relay.allocationCount == 0 && scene.conversation.openPorts.isEmpty)
      #expect(scene.ask(.refresh) { $0.append(.lifetime, UInt32(0)) }?.code == 437)
    },
    Requirement("8.2", "any other lifetime counts from now") {
      let (scene, _) = try Scene.allocated()
      scene.conversation.wait(seconds: 500)
      #expect(scene.ask(.refresh) { $0.append(.lifetime, UInt32(700)) }?.lifetime == 700)
      scene.conversation.wait(seconds: 690)
      #expect(scene.conversation.relay.allocationCount == 1)
      scene.conversation.wait(seconds: 11)
      #expect(scene.conversation.relay.allocationCount == 0)
    },
    Requirement("8.2", "a malformed LIFETIME gives 400 and changes nothing") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.ask(.refresh) { $0.append(.lifetime, [0, 0, 0, 0, 0]) }?.code == 400)
      #expect(scene.conversation.relay.allocationCount == 1)
    },
  ]

  // MARK: - Sections 9 and 10

  static let permissions = [
    Requirement("9", "a permission is for an address with any port, and for exactly 300 seconds") {
      let (scene, relayed) = try Scene.allocated()
      #expect(scene.client.hear([1], from: "8.8.8.8:65535", on: relayed).client != nil)
      scene.conversation.tick(seconds: 299)
      #expect(scene.client.hear([1], from: "8.8.8.8:1", on: relayed).client != nil)
      scene.conversation.tick(seconds: 1)
      #expect(scene.client.hear([1], from: "8.8.8.8:1", on: relayed).drop == .noPermission)
    },
    Requirement("9", "traffic refreshes no permission; CreatePermission and ChannelBind do") {
      let (scene, relayed) = try Scene.allocated()
      scene.conversation.tick(seconds: 200)
      _ = scene.client.sendIndication("8.8.8.8:1", [1])
      _ = scene.client.hear([1], from: "8.8.8.8:1", on: relayed)
      scene.conversation.tick(seconds: 100)
      #expect(scene.client.sendIndication("8.8.8.8:1", [1]).drop == .noPermission)
      for refresh in [STUN.Method.createPermission, .channelBind] {
        let (scene, _) = try Scene.allocated()
        scene.conversation.tick(seconds: 200)
        _ = scene.ask(refresh) {
          if refresh == .channelBind { $0.append(.channelNumber, UInt32(0x4000) << 16) }
          Scene.peer("8.8.8.8:1", &$0)
        }
        scene.conversation.tick(seconds: 299)
        #expect(scene.client.sendIndication("8.8.8.8:1", [1]).peer != nil)
      }
    },
    Requirement("10.2", "CreatePermission gives 437 without an allocation, 400 without a valid XOR-PEER-ADDRESS") {
      #expect(Scene().ask(.createPermission) { Scene.peer("8.8.8.8:1", &$0) }?.code == 437)
      let (scene, _) = try Scene.allocated()
      #expect(scene.ask(.createPermission)?.code == 400)
      for value in [
        [UInt8](), [0, 1, 0, 1], [0, 1, 0, 1, 1, 1, 1], [0, 3, 0, 1, 1, 1, 1, 1],
        [0, 1] + [UInt8](repeating: 0, count: 18),
      ] {
        #expect(scene.ask(.createPermission) { $0.append(.xorPeerAddress, value) }?.code == 400)
      }
    },
    Requirement(
      "10.2", "a peer of a missing family gives 443, a forbidden one 403, too many 508"
    ) {
      let (scene, _) = try Scene.allocated { $0.realms[0].limits.permissionsPerAllocation = 1 }
      #expect(scene.client.permit("[2001:4860::1]:0")?.code == 443)
      #expect(scene.client.permit("10.1.2.3:0")?.code == 403)
      #expect(scene.client.permit("8.8.4.4:0")?.code == 508)
      #expect(scene.client.permit("8.8.8.8:9")?.code == nil)
    },
    Requirement("10.2", "one invalid peer among several prevents all permissions") {
      for bad in ["10.0.0.1:1", "[2001:4860::1]:1"] {
        let (scene, _) = try Scene.allocated()
        #expect(scene.client.permit("8.8.4.4:1", bad)?.code != nil)
        #expect(scene.client.sendIndication("8.8.4.4:1", [1]).drop == .noPermission)
      }
      let (scene, _) = try Scene.allocated()
      let answer = scene.ask(.createPermission) {
        Scene.peer("8.8.4.4:1", &$0)
        $0.append(.xorPeerAddress, [0, 1, 2])
      }
      #expect(answer?.code == 400)
      #expect(scene.client.sendIndication("8.8.4.4:1", [1]).drop == .noPermission)
    },
    Requirement("10.2", "several peers in one request are all permitted") {
      let (scene, _) = try Scene.allocated()
      #expect(scene.client.permit("8.8.4.4:1", "1.1.1.1:1", "9.9.9.9:1")?.code == nil)
      for peer in ["8.8.4.4:2", "1.1.1.1:2", "9.9.9.9:2"] {
        #expect(scene.client.sendIndication(peer, [1]).peer != nil)
      }
    },
    Requirement("21.4", "6to4 and Teredo peers are denied under every configuration") {
      let scene = Scene(allow: ["::/0", "2002::/16", "2001::/32"])
      #expect(scene.allocate(Scene.udp, (.requestedAddressFamily, Scene.family(2)))?.code == nil)
      #expect(scene.client.permit("[2002:808:808::1]:1")?.code == 403)
      #expect(scene.client.permit("[2001:0:1:2::3]:1")?.code == 403)
    },
  ]
}
