import NetworkTypes
import Testing

@testable import NetIO

@Suite("DSCP and ECN")
struct TrafficClassTests {
  @Test("After many unmarked datagrams a socket does not report marks for a pause; while marks arrive it reports them")
  func watch() throws {
    let socket = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0))
    var watch = TrafficClassWatch()
    func feed(_ count: Int, _ trafficClass: UInt8) -> Int? {
      for number in 1...count where watch.count(trafficClass) {
        watch.switchOver(socket.rawValue, .ipv4)
        return number
      }
      return nil
    }
    #expect(feed(1000, 0xB8) == nil)
    #expect(feed(1000, 0) == Int(TrafficClassWatch.unmarkedLimit))
    #expect(feed(10_000, 0) == Int(TrafficClassWatch.pause))
    #expect(feed(31, 0) == nil)
    #expect(feed(1, 1) == nil)
    #expect(feed(1000, 0) == Int(TrafficClassWatch.unmarkedLimit))
  }

  @Test(
    "Datagrams with different marks leave in separate sends, in order and with their marks",
    arguments: [IPAddress.Family.ipv4, .ipv6])
  func batch(family: IPAddress.Family) throws {
    let loopback = SocketAddress(family == .ipv4 ? .ipv4Loopback : .ipv6Loopback, port: 0)
    let receiver = try UDPSocket(relayingOn: loopback)
    receiver.reportTrafficClass(family)
    let local = receiver.localAddress
    let target = try #require(local)
    let sender = try UDPSocket(relayingOn: loopback)
    var buffers = PacketBuffers(slotCount: 16)
    var batch = ReceiveBatch(for: buffers)
    var sends = SendBatch(capacity: 16)
    let marks: [UInt8] = [0, 0, 0xB8, 0xB8, 0xBB, 0, 0x88]
    for (number, mark) in marks.enumerated() {
      let bytes = [UInt8](repeating: UInt8(number), count: 100)
      buffers.copy(bytes.span.rawBytes, into: 15, at: number * 100)
      sends.trafficClass = mark
      sends.append(
        sender.rawValue, buffers, slot: 15, range: (number * 100)..<(number * 100 + 100), to: target, from: nil)
    }
    sends.flush()
    let count = try batch.receive(from: receiver.rawValue, firstSlot: 0, limit: 10)
    #expect(count == marks.count)
    for slot in 0..<min(count, marks.count) {
      let ancillary = batch.ancillary(slot)
      #expect(ancillary.trafficClass == marks[slot])
      let first = buffers.bytes(slot, 0..<1).byte(at: 0)
      #expect(first == UInt8(slot))
    }
    let failures = sends.failures
    #expect(failures == 0)
  }
}
