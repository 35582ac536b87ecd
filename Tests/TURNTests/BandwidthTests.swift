import NetworkTypes
import Testing

@testable import TURN

@Suite("limits.bandwidth-per-allocation")
struct BandwidthTests {
  /// The number of `count` datagrams of 1,000 bytes that pass.
  func pass(_ count: Int, _ send: () -> Disposition) -> Int {
    var passed = 0
    for _ in 0..<count {
      let disposition = send()
      if let cause = disposition.drop {
        #expect(cause == .overBandwidth)
      } else {
        passed += 1
      }
    }
    return passed
  }

  @Test("Each direction of each allocation has its own rate, with a burst of one second")
  func rate() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(10_000) }
    let client = TestClient(conversation)
    let relayed = try #require(client.allocate()?.relayedAddress)
    client.bind(0x4001, "8.8.8.8:7000")
    let media = [UInt8](repeating: 7, count: 1000)
    #expect(pass(30) { client.channelData(0x4001, media) } == 10)
    #expect(pass(30) { client.hear(media, from: "8.8.8.8:7000", on: relayed) } == 10)
    // Data and Send indications count as media too.
    #expect(pass(5) { client.hear(media, from: "8.8.8.8:7001", on: relayed) } == 0)
    #expect(pass(5) { client.sendIndication("8.8.8.8:7000", media) } == 0)
    for _ in 0..<5 {
      conversation.tick(seconds: 1)
      #expect(pass(30) { client.channelData(0x4001, media) } == 10)
    }
    // After silence at most the bytes of one second pass at once.
    conversation.tick(seconds: 60)
    #expect(pass(30) { client.channelData(0x4001, media) } == 10)
    let other = TestClient(conversation, "192.0.2.8:1")
    other.allocate()
    other.bind(0x4001, "8.8.8.8:7000")
    #expect(pass(30) { other.channelData(0x4001, media) } == 10)
  }

  @Test("Requests are answered while media is dropped")
  func requests() {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(1000) }
    let client = TestClient(conversation)
    client.allocate()
    client.bind(0x4001, "8.8.8.8:7000")
    #expect(pass(3) { client.channelData(0x4001, [UInt8](repeating: 1, count: 1200)) } == 1)
    #expect(client.refresh(600)?.lifetime == 600)
    #expect(client.permit("8.8.4.4:1")?.code == nil)
  }

  @Test("Without a limit everything passes, and a reload sets one")
  func reload() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.bind(0x4001, "8.8.8.8:7000")
    let media = [UInt8](repeating: 7, count: 1000)
    #expect(pass(1000) { client.channelData(0x4001, media) } == 1000)
    var settings = conversation.relay.settings
    settings.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(2000)
    let gate = conversation.relay.rules.gate
    conversation.relay.update(settings: settings, gate: gate)
    #expect(pass(1000) { client.channelData(0x4001, media) } == 2)
  }
}
