import NetIO
import NetworkTypes
import Testing

@Suite("Batches of datagrams", .serialized)
struct BatchTests {
  /// A socket on loopback with a port that the kernel chooses.
  func socket() throws -> UDPSocket { try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0)) }

  /// A datagram of `length` bytes, derived from its number.
  func datagram(_ number: Int, length: Int) -> [UInt8] { (0..<length).map { UInt8((number &* 31 + $0) & 0xFF) } }

  /// All datagrams that wait at a socket, in order; merged runs are split.
  func receiveAll(_ descriptor: Int32, _ batch: inout ReceiveBatch, _ buffers: borrowing PacketBuffers) throws -> (
    datagrams: [[UInt8]], merged: Int
  ) {
    var datagrams: [[UInt8]] = []
    var merged = 0
    while true {
      let count = try batch.receive(from: descriptor, firstSlot: 0, limit: 16)
      if count == 0 { return (datagrams, merged) }
      for slot in 0..<count {
        let total = batch.byteCount(slot)
        let segment = batch.ancillary(slot).segmentByteCount
        if segment > 0 { merged += 1 }
        var base = 0
        repeat {
          let end = segment > 0 ? min(base + segment, total) : total
          datagrams.append(buffers.bytes(slot, base..<end).copied())
          base = end
        } while base < total
      }
    }
  }

  @Test("Equal, single and empty datagrams to several peers arrive whole and in order", arguments: [false, true])
  func runs(merges: Bool) throws {
    let sender = try socket()
    let first = try socket()
    let second = try socket()
    if merges {
      #expect(UDPOffload.enableReceiving(first.rawValue))
      #expect(UDPOffload.enableReceiving(second.rawValue))
    }
    let peers = [first.localAddress, second.localAddress].compactMap { $0 }
    #expect(peers.count == 2)
    var buffers = PacketBuffers(slotCount: 33)
    var batch = ReceiveBatch(for: buffers)
    var sends = SendBatch(capacity: 256)
    let prefix: [UInt8] = [0x40, 0, 1, 2]
    // Lengths with runs, a shorter last datagram, a longer one after it and an empty one; interleaved over both peers.
    let lengths = [100, 100, 100, 60, 100, 101, 101, 0, 200, 200, 200, 200, 1]
    var expected: [[[UInt8]]] = [[], []]
    for (number, length) in lengths.enumerated() {
      for peer in 0..<2 {
        let bytes = datagram(number * 2 + peer, length: length)
        let slot = number * 2 + peer
        buffers.copy(bytes.span.rawBytes, into: slot, at: 0)
        if number % 2 == 0 {
          sends.append(sender.rawValue, buffers, slot: slot, range: 0..<length, to: peers[peer], from: nil)
          expected[peer].append(bytes)
        } else {
          sends.append(
            sender.rawValue, prefix: prefix.span.rawBytes, buffers, slot: slot, range: 0..<length, padding: 3,
            to: peers[peer], from: nil)
          expected[peer].append(prefix + bytes + [0, 0, 0])
        }
      }
    }
    sends.flush()
    let failures = sends.failures + sends.overflows + sends.refusedRuns
    #expect(failures == 0)
    let one = try receiveAll(first.rawValue, &batch, buffers)
    let two = try receiveAll(second.rawValue, &batch, buffers)
    #expect(one.datagrams == expected[0])
    #expect(two.datagrams == expected[1])
    // Loopback delivers a run as it was sent, so with merging there are fewer pieces than datagrams.
    #expect((one.merged > 0) == merges)
  }

  @Test("64 datagrams of one size leave as one segmented send and arrive as 64")
  func longRun() throws {
    let sender = try socket()
    let receiver = try socket()
    let local = receiver.localAddress
    let peer = try #require(local)
    #expect(UDPOffload.enableReceiving(receiver.rawValue))
    var buffers = PacketBuffers(slotCount: 80)
    var batch = ReceiveBatch(for: buffers)
    var sends = SendBatch(capacity: 128)
    var expected: [[UInt8]] = []
    for number in 0..<70 {
      let bytes = datagram(number, length: 172)
      buffers.copy(bytes.span.rawBytes, into: number, at: 0)
      sends.append(sender.rawValue, buffers, slot: number, range: 0..<172, to: peer, from: nil)
      expected.append(bytes)
    }
    sends.flush()
    let received = try receiveAll(receiver.rawValue, &batch, buffers)
    #expect(received.datagrams == expected)
    #expect(received.merged >= 1)
  }

  @Test("A datagram that cannot be sent is counted, and the next one leaves")
  func failures() throws {
    let sender = try socket()
    let receiver = try socket()
    let local = receiver.localAddress
    let peer = try #require(local)
    var buffers = PacketBuffers(slotCount: 4)
    var batch = ReceiveBatch(for: buffers)
    var sends = SendBatch(capacity: 16)
    buffers.copy([1, 2, 3].span.rawBytes, into: 0, at: 0)
    // The socket may not send broadcasts, so the kernel refuses it at once.
    let forbidden = SocketAddress(IPAddress(255, 255, 255, 255), port: 9)
    for target in [peer, forbidden, peer, forbidden, forbidden, peer] {
      sends.append(sender.rawValue, buffers, slot: 0, range: 0..<3, to: target, from: nil)
    }
    sends.flush()
    let failures = sends.failures
    #expect(failures == 3)
    let received = try receiveAll(receiver.rawValue, &batch, buffers)
    #expect(received.datagrams == [[1, 2, 3], [1, 2, 3], [1, 2, 3]])
  }
}
