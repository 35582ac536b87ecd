import NetworkTypes
import TestSupport
import Testing

@testable import TURN

/// One payload of a test: RTP, or something else.
struct Payload: Sendable {
  var bytes: [UInt8]
  /// Milliseconds since the payload before.
  var gap: Int

  /// RTP of Opus: 20 ms and 960 ticks a packet.
  static func rtp(_ number: Int, source: UInt32 = 7, ticks: Int = 960, gap: Int = 20, type: UInt8 = 111) -> Payload {
    Payload(bytes: header(number, timestamp: number * ticks, source: source, type: type), gap: gap)
  }

  static func header(_ number: Int, timestamp: Int, source: UInt32, type: UInt8 = 111) -> [UInt8] {
    let time = UInt32(truncatingIfNeeded: timestamp)
    let words: [UInt32] = [
      0x8000_0000 | UInt32(type) << 16 | UInt32(UInt16(truncatingIfNeeded: number)), time, source,
    ]
    return words.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) } }
  }

  static func other(_ first: UInt8, gap: Int) -> Payload { Payload(bytes: [first, 1, 2, 3], gap: gap) }
}

@Suite("Quality of media on its way to the relay")
struct QualityTests {
  /// The record after these payloads.
  private func measure(_ payloads: some Sequence<Payload>) -> PathQuality {
    var quality = PathQuality()
    var now = Instant(nanoseconds: 5_000_000_000)
    for payload in payloads {
      now = now.advanced(by: .milliseconds(UInt32(payload.gap)))
      // The payload begins at an offset, as in ChannelData.
      let bytes = [0x40, 0, 0, 0] + payload.bytes
      _ = quality.record(bytes.span.rawBytes, at: 4, count: payload.bytes.count, now: now)
    }
    return quality
  }

  /// Payloads and their counts, which leave out the first packet of each stream.
  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var payloads: [Payload]
    /// Packets, lost, late, duplicates.
    var counts: [UInt64]

    init(_ name: String, _ payloads: [Payload], _ counts: [UInt64]) {
      self.name = name
      self.payloads = payloads
      self.counts = counts
    }

    init(_ name: String, numbers: [Int], _ counts: [UInt64]) {
      self.init(name, numbers.map { .rtp($0) }, counts)
    }

    var testDescription: String { name }
  }

  static let rows: [Row] = [
    Row("no loss", numbers: Array(0...99), [99, 0, 0, 0]),
    Row("one lost", numbers: Array(0...49) + Array(51...99), [98, 1, 0, 0]),
    Row("a burst of 500 lost", numbers: Array(0...9) + Array(510...600), [100, 500, 0, 0]),
    Row("the longest gap that is loss", numbers: [0, 1, 3001], [2, 2999, 0, 0]),
    Row("wrap of the number", numbers: Array(65_500...65_570), [70, 0, 0, 0]),
    Row("lost at the wrap", numbers: Array(65_500...65_534) + Array(65_537...65_570), [68, 2, 0, 0]),
    Row("two exchanged", numbers: [0, 1, 2, 4, 3, 5, 6], [6, 0, 1, 0]),
    Row("late by 63", numbers: [0, 1] + Array(3...65) + [2], [65, 0, 1, 0]),
    Row("too late to count", numbers: [0, 1] + Array(3...66) + [2], [65, 1, 0, 0]),
    Row("each one twice", numbers: (0...49).flatMap { [$0, $0] }, [49, 0, 0, 49]),
    Row("a late one twice", numbers: [0, 1, 3, 2, 2, 4], [4, 0, 1, 1]),
    Row("a restart elsewhere", numbers: Array(0...49) + Array(30_000...30_049), [98, 0, 0, 0]),
    Row("a restart after a loss", numbers: Array(0...9) + [11] + Array(30_000...30_009), [19, 1, 0, 0]),
    Row("one stray number is no restart", numbers: Array(0...9) + [40_000] + Array(10...19), [19, 0, 0, 0]),
    Row("a late copy of the first is no restart", numbers: Array(0...199) + [0] + [200], [200, 0, 0, 0]),
    // The second stream has only even numbers: two consecutive ones would prove it.
    Row("numbers with gaps only", (0...49).flatMap { [.rtp($0), .rtp($0 * 2, source: 8)] }, [49, 0, 0, 0]),
    Row("two streams", (0...49).flatMap { [.rtp($0), .rtp(1000 + $0, source: 8)] }, [98, 0, 0, 0]),
    Row("a third is not measured", (0...49).flatMap { n in [7, 8, 9].map { .rtp(n, source: $0) } }, [98, 0, 0, 0]),
    Row(
      "a new stream after silence",
      (0...9).map { .rtp($0) } + (0...9).map { .rtp($0, source: 8) } + [.rtp(0, source: 9, gap: 2500)]
        + (1...9).map { .rtp($0, source: 9) }, [27, 0, 0, 0]),
    Row("one packet is no stream", [.rtp(5)], []),
    Row("RTCP alone", (0...99).map { .rtp($0, type: 200) }, []),
    Row("STUN alone", (0...99).map { _ in .other(0, gap: 20) }, []),
    Row("nothing", [], []),
  ]

  @Test("Packets and the lost, late and duplicate ones are counted", arguments: rows)
  func counts(_ row: Row) {
    let summary = measure(row.payloads).summary
    let counts = summary.map { [$0.packets, $0.lost, UInt64($0.late), UInt64($0.duplicates)] } ?? []
    #expect(counts == row.counts)
    #expect(summary?.basis == (row.counts.isEmpty ? nil : .rtp))
  }

  @Test(
    "The jitter of regular packets is 0, at every clock; that of alternating packets is their deviation",
    arguments: [8000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000])
  func jitter(_ hertz: Int) throws {
    let ticks = hertz / 50
    let regular = measure((0...300).map { .rtp($0, ticks: ticks) })
    #expect(try #require(regular.summary?.jitter) <= .microseconds(1))
    // Gaps of 15 and 25 ms: each differs by 5 ms from the frame's 20.
    let uneven = measure((0...400).map { .rtp($0, ticks: ticks, gap: $0 % 2 == 0 ? 15 : 25) })
    #expect((Duration.microseconds(4950)...(.microseconds(5050))).contains(try #require(uneven.summary?.jitter)))
  }

  @Test("The packets of one frame count once, and the steadier stream is shown")
  func frames() throws {
    // The four packets of a video frame arrive within 9 ms; a frame begins every 33 ms.
    let video = (0...800).map { n in
      Payload(bytes: Payload.header(n, timestamp: n / 4 * 3000, source: 9), gap: n % 4 == 0 ? 24 : 3)
    }
    let quality = measure(video)
    #expect(try #require(quality.summary?.jitter) <= .microseconds(400))
    var uneven: [Payload] = []
    for n in 0...400 {
      uneven.append(.rtp(n, gap: n % 2 == 0 ? 15 : 25))
      uneven.append(.rtp(n, source: 8, gap: 0))
    }
    #expect(
      (Duration.microseconds(4950)...(.microseconds(5050))).contains(try #require(measure(uneven).summary?.jitter)))
  }

  @Test("There is no jitter before the clock is known, for a clock that no codec has, or from a jump of the timestamp")
  func unknownClock() {
    #expect(measure((0...50).map { .rtp($0) }).summary?.jitter == nil)
    #expect(measure((0...600).map { .rtp($0, ticks: 4000) }).summary?.jitter == nil)
    #expect(measure((0...600).map { .rtp($0, ticks: 0) }).summary?.jitter == nil)
    var jumping = (0...300).map { Payload.rtp($0) }
    jumping += (301...600).map { n in
      Payload(bytes: Payload.header(n, timestamp: n * 960 + 1 << 30, source: 7), gap: 20)
    }
    #expect(measure(jumping).summary?.jitter == .zero)
  }

  @Test("Without RTP the gaps are compared, and pauses are left out")
  func gaps() {
    let regular = measure((0...100).map { .other(23, gap: $0 == 50 ? 5000 : 10) }).summary
    #expect(regular == MediaQuality(basis: .gaps, jitter: .zero))
    let uneven = measure((0...400).map { .other(0xC0, gap: $0 % 2 == 0 ? 8 : 12) }).summary
    #expect(
      uneven?.basis == .gaps && (Duration.microseconds(3900)...(.microseconds(4000))).contains(uneven?.jitter ?? .zero))
    #expect(uneven?.lossRatio == nil)
    // RTP replaces the gaps as basis.
    let mixed = measure((0...400).flatMap { [.other(23, gap: 10), .rtp($0, gap: 10)] }).summary
    #expect(mixed?.basis == .rtp && mixed?.packets == 400)
  }

  @Test("Headers that are cut, or name more contributing sources than there are, are no RTP")
  func headers() {
    let whole = Payload.header(1, timestamp: 2, source: 3)
    let expected = RTPHeader(sequenceNumber: 1, timestamp: 2, source: 3)
    #expect(RTPHeader(whole.span.rawBytes, at: 0, count: 12) == expected)
    for count in 0..<12 { #expect(RTPHeader(whole.span.rawBytes, at: 0, count: count) == nil) }
    for (first, second, isRTP) in [
      (0x80, 0, true), (0x90, 0x7F, true), (0x81, 0, false), (0x8F, 0, false), (0x40, 0, false), (0xC0, 0, false),
      (0x80, 200, false), (0x80, 192, false), (0x80, 223, false), (0x80, 191, true), (0x80, 224, true),
      (0x80, 64, false),
    ] as [(UInt8, UInt8, Bool)] {
      let bytes = [first, second] + whole[2...]
      #expect((RTPHeader(bytes.span.rawBytes, at: 0, count: 12) != nil) == isRTP, "\(first) \(second)")
    }
  }

  @Test("Half a million payloads of a hostile sender: no trap, and every figure stays in its range", .tags(.slow))
  func hostile() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SplitMix(state: seed)
    var quality = PathQuality()
    var now = Instant(nanoseconds: generator.next() >> 2)
    var change = PathQuality.Change()
    for _ in 0..<500_000 {
      let choice = generator.next()
      let leap = [1_000_000, 20_000_000, 3_000_000_000, UInt64.max >> 8][Int(choice >> 60 & 3)]
      now = Instant(nanoseconds: now.nanoseconds &+ (generator.next() % leap))
      let number = [0, 1, 65_535, 65_534, 3000, Int(truncatingIfNeeded: choice >> 20)][Int(choice >> 8 & 7) % 6]
      let time = [0, Int(Int32.max), Int(Int32.min), Int(truncatingIfNeeded: choice >> 13)][Int(choice >> 4 & 3)]
      var bytes = Payload.header(
        number, timestamp: time, source: UInt32(choice >> 2 & 3), type: UInt8(choice >> 30 & 0x7F))
      if choice % 16 == 0 { bytes.removeLast(Int(choice >> 40 & 7)) }
      if choice % 32 == 1 { bytes[0] = UInt8(truncatingIfNeeded: choice >> 50) }
      let new = quality.record(bytes.span.rawBytes, at: 0, count: bytes.count, now: now)
      change.packets &+= new.packets
      change.lost = change.lost.addingReportingOverflow(new.lost).overflow ? .max : change.lost + new.lost
      if new.packets > 1 || new.lost > UInt32(SequenceWindow.longestGap) { Issue.record("\(new), seed \(seed)") }
    }
    let summary = quality.summary
    #expect(summary?.packets == UInt64(change.packets), "seed \(seed)")
    let lost = summary?.lost ?? 0
    #expect(lost >= UInt64(change.lost) && lost <= UInt64(change.lost) + 128, "seed \(seed)")
    #expect((summary?.jitter ?? .zero) <= .microseconds(Jitter.largest), "seed \(seed)")
  }

  @Test("The counters do not pass their largest value")
  func saturation() {
    var quality = PathQuality()
    var number = 0
    var now = Instant(nanoseconds: 5_000_000_000)
    // Each packet loses 2,999 others: 2^32 lost are reached after 1.43 million.
    for _ in 0..<1_500_000 {
      now = Instant(nanoseconds: now.nanoseconds + 1_000_000)
      let bytes = Payload.header(number, timestamp: 0, source: 7)
      _ = quality.record(bytes.span.rawBytes, at: 0, count: 12, now: now)
      number += number < 2 ? 1 : 3000
    }
    let lost = quality.summary?.lost ?? 0
    #expect(lost >= UInt64(UInt32.max) && lost <= UInt64(UInt32.max) + 64)
  }

  @Test("A record fits two cache lines with its slot's header")
  func size() {
    #expect(MemoryLayout<RTPStream>.size <= 40)
    #expect(MemoryLayout<PathQuality>.size <= 120)
    // An allocation stores only the slots of its two records and the round trip; its own slot has nine cache lines.
    #expect(MemoryLayout<Allocation>.size + 8 <= 576, "\(MemoryLayout<Allocation>.size)")
  }
}
