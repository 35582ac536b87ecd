import NetIO
import NetworkTypes
import Synchronization
import System
import TestSupport
import Testing

@Suite("Packet exchange between threads")
struct PacketExchangeTests {
  func header(_ number: Int) -> PacketExchange.Header {
    PacketExchange.Header(
      source: SocketAddress(IPAddress(10, 0, 0, 1), port: UInt16(number & 0xFFFF)),
      destination: SocketAddress(.ipv6Loopback, port: UInt16(number >> 4 & 0xFFFF)))
  }

  func payload(_ number: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(number & 0xFF), count: number &* 7919 % 1500)
  }

  @Test("Posted packets of any size arrive at the other thread whole, in order and once", .tags(.slow))
  func threads() throws {
    let exchange = PacketExchange(count: 2)
    let total = 50_000
    let writer = try Thread(name: "writer") {
      for number in 0..<total {
        let bytes = payload(number)
        while !exchange.post(bytes.span.rawBytes, header(number), from: 0, to: 1) { _ = sched_pause() }
      }
    }
    var buffers = PacketBuffers(slotCount: 1)
    var next = 0
    var wrong = 0
    while next < total {
      guard let (found, count) = exchange.take(from: 0, by: 1, into: &buffers, slot: 0) else {
        _ = sched_pause()
        continue
      }
      if found != header(next) || buffers.bytes(0, 0..<count).copied() != payload(next) { wrong += 1 }
      next += 1
    }
    writer.join()
    #expect(wrong == 0)
    let rest = exchange.take(from: 0, by: 1, into: &buffers, slot: 0)
    #expect(rest == nil)
  }

  @Test("A stopped reader fills only its own ring, and loses no packet that was accepted")
  func full() {
    let exchange = PacketExchange(count: 3)
    let bytes = [UInt8](repeating: 1, count: 1000)
    var posted = 0
    while posted < 10_000, exchange.post(bytes.span.rawBytes, header(posted), from: 0, to: 1) { posted += 1 }
    #expect((200..<300).contains(posted))
    for (writer, reader) in [(0, 2), (2, 1)] {
      let isPosted = exchange.post(bytes.span.rawBytes, header(0), from: writer, to: reader)
      #expect(isPosted)
    }
    var buffers = PacketBuffers(slotCount: 1)
    for number in 0..<posted {
      let taken = exchange.take(from: 0, by: 1, into: &buffers, slot: 0)
      #expect(taken?.header == header(number))
    }
  }

  @Test("A writer rings the reader once until the reader looks")
  func bell() {
    let exchange = PacketExchange(count: 2)
    #expect(exchange.needsBell(1))
    #expect(!exchange.needsBell(1))
    #expect(exchange.needsBell(0))
    exchange.beginLooking(1)
    #expect(exchange.needsBell(1))
  }
}

/// Lets another thread run.
private func sched_pause() -> Bool {
  Readiness.sleep(until: Instant.read())
  return true
}
