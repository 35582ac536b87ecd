import Crypto
import NetworkTypes
import STUN
import Testing
import TURNClient

@Suite("Series of numbered packets")
struct PacketSeriesTests {
  static func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  @Test("Answers, duplicates, late answers and unknown ones are counted apart")
  func answers() {
    var series = PacketSeries()
    #expect(series.send(at: Self.at(0)) == 0)
    #expect(series.send(at: Self.at(10)) == 1)
    #expect(series.send(at: Self.at(20)) == 2)
    #expect(series.receive(1, at: Self.at(15)) == .answer(roundTrip: .milliseconds(5)))
    #expect(series.receive(0, at: Self.at(16)) == .answer(roundTrip: .milliseconds(16)))
    #expect(series.receive(1, at: Self.at(17)) == .duplicate)
    #expect(series.giveUp(sentBefore: Self.at(20)) == [])
    #expect(series.giveUp(sentBefore: Self.at(21)) == [2])
    #expect(series.receive(2, at: Self.at(30)) == .late)
    #expect(series.receive(7, at: Self.at(31)) == .unknown)
    #expect(series.sent == 3 && series.received == 2 && series.lost == 1 && series.duplicates == 1)
    #expect(series.late == 1 && series.reordered == 1)
    #expect(series.lossPerMille == 334)
    #expect(series.minimum == .milliseconds(5) && series.maximum == .milliseconds(16))
    #expect(series.mean == .microseconds(10_500))
    #expect(series.oldestSent() == nil)
  }

  @Test("Jitter is that of RFC 3550")
  func jitter() {
    var series = PacketSeries()
    for roundTrip in [10, 26, 10] as [UInt64] {
      let number = series.send(at: Self.at(100))
      _ = series.receive(number, at: Self.at(100 + roundTrip))
    }
    // 16/16 = 1 ms after the second; 1 - 1/16 + 16/16 after the third.
    #expect(series.jitter == .nanoseconds(1_937_500))
  }

  @Test("Memory stays bounded without any answer and with every answer")
  func memory() {
    var silent = PacketSeries()
    for number in 0..<(PacketSeries.pendingLimit + 10) { _ = silent.send(at: Self.at(UInt64(number))) }
    #expect(silent.pendingCount == PacketSeries.pendingLimit)
    #expect(silent.lost == 10)
    var lively = PacketSeries()
    for number in 0..<20_000 {
      let sent = lively.send(at: Self.at(UInt64(number)))
      #expect(lively.receive(sent, at: Self.at(UInt64(number) + 1)) == .answer(roundTrip: .milliseconds(1)))
    }
    #expect(lively.receive(19_999, at: Self.at(20_000)) == .duplicate)
    #expect(lively.receive(0, at: Self.at(20_000)) == .unknown)
  }

  @Test("The counts add up over a simulated network that loses, repeats and reorders")
  func simulation() {
    let seed: UInt64 = 0x51E5_0001
    var random = SeededGenerator(seed: [UInt8(truncatingIfNeeded: seed)])
    var series = PacketSeries()
    var arrivals: [(UInt64, Int)] = []
    var dropped = 0
    var repeated = 0
    for index in 0..<5000 {
      let now = UInt64(index) * 10
      let number = series.send(at: Self.at(now))
      if random.next(below: 10) == 0 {
        dropped += 1
        continue
      }
      arrivals.append((now + 5 + random.next(below: 40), number))
      if random.next(below: 20) == 0 {
        repeated += 1
        arrivals.append((now + 60, number))
      }
    }
    for (time, number) in arrivals.sorted(by: { $0.0 < $1.0 }) { _ = series.receive(number, at: Self.at(time)) }
    _ = series.giveUp(sentBefore: .distantFuture)
    #expect(series.lost == dropped)
    #expect(series.received == 5000 - dropped)
    #expect(series.duplicates == repeated)
    #expect(series.reordered > 100)
    #expect(series.roundTrips.count == series.received)
  }

  @Test("Transaction IDs identify requests, and other answers do not count")
  func transactions() throws {
    var requests = PingRequests(seed: 0xABCD_EF01_2345_6789)
    let first = requests.next(at: Self.at(0))
    let second = requests.next(at: Self.at(1))
    #expect(first.number == 0 && second.number == 1)
    func answer(_ request: [UInt8], flip: Bool = false) throws -> [UInt8] {
      let message = try MessageView(request.span.rawBytes)
      var writer = MessageWriter()
      let id = message.transactionID
      writer.begin(
        MessageType(.binding, .success),
        transactionID: flip ? TransactionID(high: id.high ^ 1, low: id.low) : id)
      writer.append(.xorMappedAddress, xor: SocketAddress(.ipv4Loopback, port: 9))
      return writer.bytes.copied()
    }
    let good = try answer(second.request)
    let bad = try answer(second.request, flip: true)
    #expect(requests.receive(bad.span.rawBytes, at: Self.at(2)) == nil)
    #expect(requests.receive([1, 2, 3].span.rawBytes, at: Self.at(2)) == nil)
    #expect(requests.strays == 2)
    let arrival = requests.receive(good.span.rawBytes, at: Self.at(3))
    #expect(arrival?.number == 1 && arrival?.arrival == .answer(roundTrip: .milliseconds(2)))
    #expect(requests.mappedAddress == SocketAddress(.ipv4Loopback, port: 9))
  }

  @Test("An error and a success without a mapped address count as refused, neither received nor lost")
  func refusals() throws {
    var requests = PingRequests(seed: 5)
    func answer(_ request: [UInt8], _ body: (inout MessageWriter) -> Void, isError: Bool = false) throws -> [UInt8] {
      var writer = MessageWriter()
      let message = try MessageView(request.span.rawBytes)
      writer.begin(MessageType(.binding, isError ? .error : .success), transactionID: message.transactionID)
      body(&writer)
      return writer.bytes.copied()
    }
    let packets = (0..<3).map { requests.next(at: Self.at(UInt64($0))).request }
    let good = try answer(packets[0], { $0.append(.xorMappedAddress, xor: SocketAddress(.ipv4Loopback, port: 9)) })
    let error = try answer(packets[1], { $0.append(.serverError) }, isError: true)
    let bare = try answer(packets[2], { _ in })
    _ = requests.receive(good.span.rawBytes, at: Self.at(5))
    #expect(requests.receive(error.span.rawBytes, at: Self.at(5))?.arrival == .refusal)
    guard case .refused(.serverError, _, _, _)? = requests.refusal else { throw NotRefused() }
    #expect(requests.receive(bare.span.rawBytes, at: Self.at(5))?.arrival == .refusal)
    #expect(requests.refusal == .malformed("the response has no XOR-MAPPED-ADDRESS"))
    #expect(requests.receive(bare.span.rawBytes, at: Self.at(6))?.arrival == .duplicate)
    let series = requests.series
    #expect(series.sent == 3 && series.received == 1 && series.refused == 2 && series.lost == 0)
    #expect(series.lossPerMille == 0 && series.roundTrips.count == 1 && series.pendingCount == 0)
  }

  private struct NotRefused: Error {}

  @Test("Mutated answers to a ping never trap")
  func mutated() throws {
    let seed: UInt64 = 0x51E5_0002
    var random = SeededGenerator(seed: [UInt8(truncatingIfNeeded: seed), 1])
    var requests = PingRequests(seed: 7)
    let request = requests.next(at: Self.at(0)).request
    let message = try MessageView(request.span.rawBytes)
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .success), transactionID: message.transactionID)
    writer.append(.xorMappedAddress, xor: SocketAddress(.ipv4Loopback, port: 9))
    let base = writer.bytes.copied()
    for round in 0..<50_000 {
      var bytes = base
      for _ in 0...random.next(below: 4) {
        bytes[Int(random.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.next())
      }
      if round % 5 == 0 { bytes.removeLast(Int(random.next(below: UInt64(bytes.count)))) }
      _ = requests.receive(bytes.span.rawBytes, at: Self.at(1))
    }
  }
}
