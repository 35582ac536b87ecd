import Crypto
import NetworkTypes
import STUN
import Tables
import TestSupport
import Testing

@testable import TURN

@Suite("Hostile input to the relay")
struct HostileTests {
  /// Valid requests with a valid key and nonce, for mutation.
  private func corpus(_ client: TestClient) -> [[UInt8]] {
    [
      client.request(.binding, signs: false),
      client.request(.binding, signs: false) { $0.append(.changeRequest, UInt32(0)) },
      client.request(.allocate) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.requestedAddressFamily, UInt32(1) << 24)
        $0.append(.evenPort, [UInt8(0x80)])
        $0.append(.lifetime, UInt32(1000))
      },
      client.request(.refresh) { $0.append(.lifetime, UInt32(700)) },
      client.request(.createPermission) {
        $0.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:1")!)
        $0.append(.xorPeerAddress, xor: SocketAddress("[2001:4860::8]:1")!)
      },
      client.request(.channelBind) {
        $0.append(.channelNumber, UInt32(0x4000) << 16)
        $0.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:1")!)
      },
      client.request(.channelBind) {
        $0.append(.channelNumber, UInt32(0x6ABC) << 16)
        $0.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:2")!)
      },
      [0x40, 0x00, 0x00, 0x04, 1, 2, 3, 4],
      [0x6A, 0xBC, 0x00, 0x04, 1, 2, 3, 4],
    ]
  }

  @Test(
    "100,000 mutated messages, half of them signed afterwards, never trap, and every port is released",
    .tags(.slow))
  func mutations() {
    let conversation = Conversation(ports: 50_000...50_031) {
      $0.realms[0].limits.permissionsPerAllocation = 8
      $0.realms[0].limits.channelsPerAllocation = 4
    }
    conversation.transcript.isKept = false
    var generator = SeededGenerator(seed: Array("relay mutations".utf8))
    let clients = (0..<24).map { TestClient(conversation, "192.0.2.\($0 + 1):5000") }
    for client in clients { client.challenge() }
    var relayed = 0
    for round in 0..<100_000 {
      let client = clients[Int(generator.next(below: UInt64(clients.count)))]
      let choices = corpus(client)
      var bytes = choices[Int(generator.next(below: UInt64(choices.count)))]
      if round % 2 == 0 {
        bytes = signedMutation(client, &generator)
      } else {
        for _ in 0...generator.next(below: 4) where !bytes.isEmpty {
          bytes[Int(generator.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
        }
        if generator.next(below: 8) == 0 { bytes.removeLast(Int(generator.next(below: UInt64(bytes.count)))) }
      }
      let disposition = client.send(bytes)
      if disposition.peer != nil { relayed += 1 }
      if round % 50 == 0, let port = conversation.port(by: generator.next()) {
        _ = conversation.relay.receive(
          bytes.span.rawBytes, fromPeer: SocketAddress("8.8.8.8:1")!, on: port, now: conversation.now)
      }
      if round % 1000 == 999 {
        conversation.wait(seconds: UInt32(generator.next(below: 200)))
        for client in clients { client.challenge() }
      }
      conversation.lateReplies.removeAll()
      conversation.events.removeAll()
    }
    #expect(relayed > 100)
    #expect(conversation.relay.allocationCount == conversation.openPorts.count)
    #expect(conversation.admitted == conversation.relay.allocationCount)
    conversation.wait(seconds: 4000)
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.openPorts.isEmpty)
    #expect(conversation.admitted == 0)
    #expect(conversation.relay.pending.count == 0)
    let left =
      conversation.relay.permissions.count + conversation.relay.channels.count + conversation.relay.relayPorts.count
    #expect(left == 0)
    // All 32 ports can be allocated again: none was lost.
    let late = (0..<32).map { TestClient(conversation, "192.0.2.\($0 + 100):5000") }
    for client in late { #expect(client.allocate()?.relayedAddress != nil) }
  }

  /// A request with arbitrary attributes and a valid signature, which an authenticated attacker can send.
  private func signedMutation(_ client: TestClient, _ generator: inout SeededGenerator) -> [UInt8] {
    let methods = [Method.allocate, .refresh, .createPermission, .channelBind, .connect, .send]
    let attributes: [AttributeType] = [
      .requestedTransport, .lifetime, .xorPeerAddress, .channelNumber, .evenPort, .reservationToken,
      .requestedAddressFamily, .additionalAddressFamily, .dontFragment, .data,
    ]
    let method = methods[Int(generator.next(below: UInt64(methods.count)))]
    let count = Int(generator.next(below: 4))
    return client.request(method) { writer in
      if generator.next(below: 3) > 0 { writer.append(.requestedTransport, UInt32(17) << 24) }
      if generator.next(below: 3) > 0 {
        writer.append(.xorPeerAddress, xor: SocketAddress("8.8.8.\(generator.next(below: 20)):1")!)
      }
      if generator.next(below: 3) > 0 { writer.append(.channelNumber, UInt32(0x4000 + generator.next(below: 8)) << 16) }
      if generator.next(below: 6) == 0 { writer.append(.lifetime, UInt32(0)) }
      for _ in 0..<count {
        let length = [0, 1, 2, 3, 4, 5, 8, 20, 40][Int(generator.next(below: 9))]
        let value = (0..<length).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        writer.append(attributes[Int(generator.next(below: UInt64(attributes.count)))], value)
      }
    }
  }

  @Test("A flat table agrees with a dictionary through 200,000 seeded changes")
  func flatTable() {
    var table = FlatTable<Allocation>(seed: (1, 2, 3))
    var model: [UInt64: Slot<Allocation>] = [:]
    var generator = SeededGenerator(seed: Array("flat table".utf8))
    for _ in 0..<200_000 {
      let key = generator.next(below: 3000)
      if generator.next(below: 3) == 0 {
        table.remove(FlatKey(key, key, 7))
        model[key] = nil
      } else {
        let value = Slot<Allocation>(index: UInt32(generator.next(below: 1 << 30)))
        table.insert(FlatKey(key, key, 7), value)
        model[key] = value
      }
    }
    let count = table.count
    #expect(count == model.count)
    for key in UInt64(0)..<3000 {
      let found = table.find(FlatKey(key, key, 7))
      #expect(found == model[key])
    }
  }
}

extension Conversation {
  /// The open relay port at this position, modulo their count: the seed decides which.
  func port(by number: UInt64) -> Handle<RelayPort>? {
    let ports = openPorts.keys.sorted { $0.index < $1.index }
    return ports.isEmpty ? nil : ports[Int(number % UInt64(ports.count))]
  }
}
