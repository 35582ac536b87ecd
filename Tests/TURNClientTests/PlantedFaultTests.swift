import Crypto
import NetworkTypes
import STUN
import Testing
import TURNClient

/// Rules of the client; planted faults (Tests/Faults) showed that no other test checks them.
@Suite("Rules of the client that planted faults break")
struct PlantedFaultTests {
  let server = ScriptedServer()
  let peer = SocketAddress(IPAddress(203, 0, 113, 5), port: 7000)

  @Test("After a 438 without REALM the client keeps its realm")
  func missingRealm() throws {
    var client = try allocated(server)
    client.refresh(now: at(100))
    let stale = try server.respond(to: outputs(&client)[0], .error, error: .staleNonce, signed: false) { writer in
      writer.append(.nonce, text: "second-nonce")
    }
    feed(&client, stale, at(110))
    let again = outputs(&client)
    #expect(again.count == 1)
    let request = try Request(again[0])
    #expect(request.realm == "example.org" && request.nonce == "second-nonce")
    #expect(try server.verify(again[0]))
  }

  @Test("The client returns PASSWORD-ALGORITHMS unchanged")
  func algorithmOffer() throws {
    var server = server
    server.nonce = "obMatJos2gAAArest"
    server.algorithms = [0, 2, 0, 0, 0, 1, 0, 0]
    server.signsWithSHA256 = true
    var client = makeClient()
    client.allocate(now: at(0))
    feed(&client, try server.challenge(outputs(&client)[0]), at(20))
    let signed = outputs(&client)[0]
    let message = try MessageView(signed.span.rawBytes)
    let offer = message.value(of: .passwordAlgorithms)?.copied()
    #expect(offer == server.algorithms)
  }

  @Test("The client does not repeat a permission whose refresh was refused")
  func refusedPermission() throws {
    var client = try allocated(server)
    client.createPermission([peer], now: at(50))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(60))
    client.advance(to: at(240_060))
    let refresh = outputs(&client)
    #expect(try refresh.map { try Request($0).peers } == [[peer]])
    feed(&client, try server.respond(to: refresh[0], .error, error: .forbidden), at(240_070))
    let other = address("203.0.113.6:1")
    client.createPermission([other], now: at(240_080))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(240_090))
    client.advance(to: at(480_090))
    #expect(try outputs(&client).map { try Request($0).peers } == [[other]])
  }

  @Test("The client sends no refresh while it deletes the allocation")
  func deletion() throws {
    var client = try allocated(server)
    client.delete(now: at(539_900))
    #expect(try outputs(&client).map { try Request($0).lifetime } == [0])
    client.advance(to: at(540_100))
    #expect(outputs(&client).isEmpty)
  }

  @Test("A Data indication with an unknown comprehension-required attribute is dropped")
  func unknownInIndication() throws {
    var client = try allocated(server)
    client.createPermission([peer], now: at(50))
    feed(&client, try server.respond(to: outputs(&client)[0]), at(60))
    func indication(_ extra: UInt16) -> [UInt8] {
      var writer = MessageWriter(capacity: 200)
      writer.begin(MessageType(.data, .indication), transactionID: TransactionID(high: 1, low: 2))
      writer.append(.xorPeerAddress, xor: peer)
      writer.append(.data, [1, 2, 3, 4])
      writer.append(AttributeType(rawValue: extra), UInt32(0))
      return writer.bytes.copied()
    }
    #expect(feed(&client, indication(0x7FFE), at(70)) == .discarded(.unexpected))
    #expect(feed(&client, indication(0xFFFE), at(70)) == .data(peer: peer, range: 36..<40, isChannelData: false))
  }

  @Test("A Binding response with an unknown comprehension-required attribute is malformed")
  func unknownInResponse() throws {
    var generator = SeededGenerator(seed: [1])
    var probe = BindingProbe(isStream: false, generator: &generator, now: at(0))
    let request = try output(&probe)
    let response = try server.respond(to: request, signed: false) { writer in
      writer.append(.xorMappedAddress, xor: peer)
      writer.append(AttributeType(rawValue: 0x7FFE), UInt32(0))
    }
    feed(&probe, response, at(10))
    let text = "the response has an unknown comprehension-required attribute"
    #expect(probe.outcome == .failure(.malformed(text)))
  }
}
