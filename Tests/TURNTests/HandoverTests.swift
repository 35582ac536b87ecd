import Crypto
import Foundation
import NetworkTypes
import STUN
import Tables
import TestSupport
import Testing

@testable import TURN

/// A relay's records, from one process to another. `TURNPIKE_HAND_OVER=1 swift test --filter TURNTests` hands over
/// before each input of every conversation; the kept transcripts stay the same.
@Suite("A handover of a relay's records")
struct HandoverTests {
  /// Whether every conversation hands over.
  static let isForced = ProcessInfo.processInfo.environment["TURNPIKE_HAND_OVER"] != nil

  /// A conversation with a reserved port, permissions, a channel and media; with `isHandedOver` each step replaces the
  /// relay.
  private func converse(isHandedOver: Bool) throws -> [String] {
    let conversation = Conversation(allow: ["203.0.113.0/24"]) { $0.policy.allowsMobility = true }
    func step() throws { if isHandedOver { try conversation.handOver() } }
    let alice = TestClient(conversation, "192.0.2.7:5000")
    _ = try #require(alice.allocate { $0.append(.evenPort, [0x80]) })
    try step()
    alice.permit("198.51.100.9:7000")
    alice.bind(0x4000, "198.51.100.9:7000")
    try step()
    _ = alice.channelData(0x4000, [1, 2, 3])
    let port = try #require(conversation.openPorts.keys.first)
    try step()
    _ = conversation.receive([9], fromPeer: SocketAddress("198.51.100.9:7000")!, on: port)
    conversation.wait(seconds: 200)
    try step()
    alice.permit("198.51.100.10:7000")
    conversation.wait(seconds: 200)
    try step()
    _ = alice.channelData(0x4000, [4])
    _ = alice.refresh(600)
    try step()
    conversation.wait(seconds: 599)
    try step()
    conversation.wait(seconds: 2)
    return conversation.transcript.lines
  }

  @Test("A restored relay gives the outputs of the original")
  func sameOutputs() throws {
    #expect(try converse(isHandedOver: true) == converse(isHandedOver: false))
  }

  @Test("An allocation whose realm, listener or address is gone is not restored; the others are")
  func otherConfiguration() throws {
    for change in 0..<3 {
      let conversation = Conversation()
      let alice = TestClient(conversation, "192.0.2.7:5000")
      _ = try #require(alice.allocate())
      let exported = conversation.relay.export { _ in true }
      var mapping = HandoverMapping.same(conversation.relay)
      switch change {
      case 0: mapping.realms[0] = nil
      case 1: mapping.ordinals[0] = nil
      default: mapping.endpoints = [Bool](repeating: false, count: 65_536)
      }
      let other = Conversation()
      let restored = try other.relay.restore(exported.bytes, mapping, now: conversation.now)
      #expect(restored.closed.count == 1 && restored.ports.isEmpty && restored.holders.isEmpty)
      #expect(restored.closed.first?.client == SocketAddress("192.0.2.7:5000"))
      #expect(other.relay.allocationCount == 0)
    }
  }

  @Test("An allocation that is not exported stays; an exported one is forgotten without an event")
  func partial() throws {
    let conversation = Conversation()
    let alice = TestClient(conversation, "192.0.2.7:5000")
    let bob = TestClient(conversation, "192.0.2.8:5000")
    _ = try #require(alice.allocate())
    let address = try #require(bob.allocate()?.relayedAddress)
    func moves(_ client: ClientPath) -> Bool { client == alice.path }
    let exported = conversation.relay.export(moves)
    #expect(exported.allocations == 1 && exported.kept == 1 && exported.ports.count == 1)
    let successor = Conversation()
    _ = try successor.relay.restore(exported.bytes, .same(conversation.relay), now: conversation.now)
    #expect(successor.relay.allocationCount == 1)
    // Media to the relay that stays is permitted.
    #expect(successor.relayed.isLive(address.address, port: address.port))
    successor.relayed.releaseForeign()
    #expect(!successor.relayed.isLive(address.address, port: address.port))
    let events = conversation.events.count
    conversation.relay.forgetExported(moves, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.relay.allocationCount == 1 && conversation.events.count == events)
    #expect(conversation.openPorts.count == 1)
  }

  @Test("A user has no second burst of bandwidth in the newer process, with a rate of the realm or of its own")
  func userBandwidth() throws {
    for isOwn in [false, true] {
      func configure(_ settings: inout RelaySettings) {
        if isOwn {
          settings.realms[0].users[Array("alice".utf8)]?.bandwidth = .bytesPerSecond(100_000)
        } else {
          settings.realms[0].limits.bandwidthPerUser = .bytesPerSecond(100_000)
        }
      }
      let conversation = Conversation(configure)
      let alice = TestClient(conversation, "192.0.2.7:5000")
      _ = try #require(alice.allocate())
      alice.bind(0x4001, "8.8.8.8:7000")
      let video = [UInt8](repeating: 1, count: 1000)
      let before = (0..<120).count { _ in alice.channelData(0x4001, video).drop == nil }
      let exported = conversation.relay.export { _ in true }
      let successor = Conversation(configure)
      _ = try successor.relay.restore(exported.bytes, .same(conversation.relay), now: conversation.now)
      let same = TestClient(successor, "192.0.2.7:5000")
      let after = (0..<120).count { _ in same.channelData(0x4001, video).drop == nil }
      #expect((70...80).contains(before) && after <= 2, "\(isOwn): \(before), then \(after)")
      successor.tick(seconds: 1)
      #expect((0..<120).count { _ in same.channelData(0x4001, video).drop == nil } >= 70)
    }
  }

  @Test("The server's limit of bandwidth and its shares go on, also if the newer process has a smaller limit or none")
  func serverBandwidth() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidth = .bytesPerSecond(100_000) }
    let alice = TestClient(conversation, "192.0.2.7:5000")
    _ = try #require(alice.allocate())
    alice.bind(0x4001, "8.8.8.8:7000")
    let video = [UInt8](repeating: 1, count: 1000)
    let before = (0..<120).count { _ in alice.channelData(0x4001, video).drop == nil }
    #expect((70...80).contains(before))
    let exported = conversation.relay.export { _ in true }
    for (limit, passing) in [(100_000, 0...2), (50_000, 0...2), (0, 120...120)] {
      let successor = Conversation { $0.realms[0].limits.bandwidth = .bytesPerSecond(UInt64(limit)) }
      _ = try successor.relay.restore(exported.bytes, .same(conversation.relay), now: conversation.now)
      let same = TestClient(successor, "192.0.2.7:5000")
      let after = (0..<120).count { _ in same.channelData(0x4001, video).drop == nil }
      #expect(passing.contains(after), "\(limit): \(after)")
      successor.tick(seconds: 2)
      #expect((0..<120).count { _ in same.channelData(0x4001, video).drop == nil } >= 35)
    }
  }

  @Test("A Connect that waits keeps its time of arrival")
  func connectTime() throws {
    let conversation = Conversation()
    let client = TestClient(conversation, "192.0.2.7:5000", transport: .tcp, connection: 3)
    _ = try #require(client.allocate(.tcp))
    let peer = SocketAddress("8.8.8.8:7000")!
    client.permit("8.8.8.8:7000")
    _ = client.ask(client.request(.connect) { $0.append(.xorPeerAddress, xor: peer) })
    conversation.tick(seconds: 2)
    try conversation.handOver()
    conversation.relay.peerConnected(try #require(conversation.connects.last).id, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.answerTimes.last == 2000)
  }

  @Test("An unknown version, a cut or a changed record is an error or another relay, never a trap")
  func damage() throws {
    let conversation = Conversation { $0.policy.allowsMobility = true }
    let alice = TestClient(conversation, "192.0.2.7:5000")
    _ = try #require(alice.allocate())
    alice.bind(0x4000, "198.51.100.9:7000")
    let bytes = conversation.relay.export { _ in true }.bytes
    let mapping = HandoverMapping.same(conversation.relay)
    func restore(_ bytes: [UInt8]) -> RecordError? {
      let other = Conversation()
      other.transcript.isKept = false
      do throws(RecordError) {
        _ = try other.relay.restore(bytes, mapping, now: conversation.now)
        other.relay.advance(to: conversation.now)
        other.relay.endAllAllocations(now: conversation.now)
        while other.relay.popCommand() != nil {}
        return nil
      } catch { return error }
    }
    var versioned = bytes
    versioned[5] = 99
    #expect(restore(versioned)?.problem == "the records have an unknown version")
    #expect(restore([]) != nil && restore(Array(bytes.dropLast())) != nil)
    #expect(restore(bytes) == nil)
    let seed = UInt64.random(in: 0 ... .max)
    // A trap ends the program, so the seed is printed before.
    print("seed of the damaged records: \(seed)")
    var random = SplitMix(state: seed)
    for _ in 0..<400 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      // Only a trap fails here.
      _ = restore(changed)
    }
  }
}

extension HandoverMapping {
  /// The mapping of an unchanged configuration.
  static func same(_ relay: borrowing Relay) -> HandoverMapping {
    HandoverMapping(
      realms: relay.settings.allRealms.indices.map { RealmID(rawValue: UInt8($0)) },
      ordinals: relay.relayed.entries.indices.map { UInt8($0) },
      endpoints: [Bool](repeating: true, count: 65_536))
  }
}
