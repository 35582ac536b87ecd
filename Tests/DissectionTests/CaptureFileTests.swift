import Dissection
import Testing
import TestSupport

@Suite("pcapng files")
struct CaptureFileTests {
  typealias Builder = CaptureBuilder

  func frames(_ bytes: [UInt8]) throws -> [CapturedFrame] {
    var file = try PacketFile(bytes)
    var frames: [CapturedFrame] = []
    while let frame = try file.next() { frames.append(frame) }
    return frames
  }

  @Test("Each packet is read by its interface, in either byte order", arguments: [false, true])
  func packets(isBigEndian: Bool) throws {
    let packet = Builder.packet(FlowTests.binding)
    let file = Builder.pcapng(
      [
        .init(linkType: 1, snapshotLength: 262_144), .init(linkType: 101, snapshotLength: 96), .init(linkType: 113),
      ],
      [
        .init(interface: 0, bytes: Builder.ethernet(packet), time: 5), .init(interface: 1, bytes: packet),
        .init(interface: 2, bytes: [UInt8](repeating: 0, count: 14) + [8, 0] + packet),
      ], isBigEndian: isBigEndian)
    let found = try frames(file)
    #expect(found.map(\.linkType) == [1, 101, 113] && found[0].time == .nanoseconds(5000))
    for frame in found {
      #expect(try CapturedSegment.parse(frame.bytes, linkType: frame.linkType).payload == FlowTests.binding)
    }
  }

  @Test(
    "An IP fragment is refused, and so is the first one",
    arguments: [(0x2000, false), (0x0001, false), (0x3FFF, false), (0x4000, true), (0, true)])
  func fragments(flags: Int, isWhole: Bool) throws {
    var packet = Builder.packet(FlowTests.binding)
    packet.replaceSubrange(6..<8, with: Builder.word(flags))
    guard !isWhole else {
      #expect(try CapturedSegment.parse(packet, linkType: 101).payload == FlowTests.binding)
      return
    }
    #expect(throws: CapturedSegment.Problem.fragment) { try CapturedSegment.parse(packet, linkType: 101) }
  }

  @Test("A new section has its own interfaces and byte order")
  func sections() throws {
    let packet = Builder.packet(FlowTests.binding)
    let first = Builder.pcapng([.init(linkType: 1)], [.init(bytes: Builder.ethernet(packet))])
    let second = Builder.pcapng([.init(linkType: 101)], [.init(bytes: packet)], isBigEndian: true)
    #expect(try frames(first + second).map(\.linkType) == [1, 101])
    #expect(throws: CaptureError.self) { try frames(first + Builder.pcapng([], [.init(bytes: packet)])) }
  }

  @Test(
    "Times are in the interface's units",
    arguments: [
      // if_tsresol: nanoseconds, 1/1024 s, seconds; if_tsoffset.
      ([9, 0, 1, 0, 9, 0, 0, 0], 7, 7), ([9, 0, 1, 0, 0x8A, 0, 0, 0], 1536, 1_500_000_000),
      ([9, 0, 1, 0, 0, 0, 0, 0], 3, 3_000_000_000), ([14, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0], 1, 2_000_001_000),
      ([9, 0, 1, 0, 12, 0, 0, 0], 5000, 5), ([9, 0, 1, 0, 0x7F, 0, 0, 0], 5, 0), ([9, 0, 1, 0, 0xFF, 0, 0, 0], 5, 0),
    ] as [([UInt8], UInt64, UInt64)])
  func times(options: [UInt8], time: UInt64, nanoseconds: UInt64) throws {
    let file = Builder.pcapng([.init(linkType: 101, options: options)], [.init(bytes: [1], time: time)])
    #expect(try frames(file).map(\.time) == [.nanoseconds(nanoseconds)])
  }

  @Test("Snapshot lengths and simple packets are read, and other blocks are skipped")
  func otherBlocks() throws {
    let cut = Builder.pcapng(
      [.init(linkType: 101, snapshotLength: 4)], [.init(bytes: [1, 2, 3, 4], originalByteCount: 9)])
    #expect(try frames(cut).map(\.originalByteCount) == [9])
    // A Simple Packet Block of 6 bytes, of which 4 are captured, after a name resolution block and an unknown block.
    let simple: [UInt8] = [3, 0, 0, 0, 20, 0, 0, 0, 6, 0, 0, 0, 9, 8, 7, 6, 20, 0, 0, 0]
    let others: [UInt8] = [
      4, 0, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0, 0xAD, 0x0B, 0, 0, 16, 0, 0, 0, 1, 2, 3, 4, 16, 0, 0, 0,
    ]
    let found = try frames(
      Builder.pcapng([.init(linkType: 101, snapshotLength: 4)], [.init(bytes: [1])], between: others + simple))
    #expect(found.map(\.bytes) == [[9, 8, 7, 6], [1]] && found[0].originalByteCount == 6)
  }

  @Test("The packets before the end of a truncated file are kept")
  func truncated() throws {
    let file = Builder.pcapng([.init(linkType: 101)], [.init(bytes: [1, 2]), .init(bytes: [3, 4])])
    for count in 28..<file.count {
      var found = 0
      var complaint: CaptureError?
      do throws(CaptureError) {
        var file = try PacketFile(Array(file.prefix(count)))
        while try file.next() != nil { found += 1 }
      } catch {
        complaint = error
      }
      #expect(found <= 1)
      if count == file.count - 1 { #expect(found == 1 && complaint?.description == "it ends within a block") }
    }
  }

  @Test("The number of interfaces is limited, and hostile lengths are refused")
  func hostileLengths() throws {
    let many = Builder.pcapng([CaptureBuilder.Interface](repeating: .init(linkType: 1), count: 4097), [])
    #expect(throws: CaptureError.self) { try frames(many) }
    var file = Builder.pcapng([.init(linkType: 1)], [.init(bytes: [1, 2, 3, 4])])
    // The captured length of the packet: longer than its block.
    let length = 28 + 20 + 8 + 12
    #expect(file[length] == 4)
    file.replaceSubrange(length..<length + 4, with: [0xFF, 0xFF, 0xFF, 0xFF])
    #expect(throws: CaptureError.self) { try frames(file) }
  }

  @Test("A mutated file never traps, and never gives more bytes than it holds")
  func mutated() throws {
    let seed: UInt64 = 0xCAB1_0001
    print("pcapng seed \(seed)")
    var random = SplitMix(state: seed)
    let packet = Builder.packet(FlowTests.binding)
    let files = [false, true].map {
      Builder.pcapng(
        [.init(linkType: 1, snapshotLength: 96, options: [9, 0, 1, 0, 0x8A, 0, 0, 0]), .init(linkType: 101)],
        [.init(bytes: Builder.ethernet(packet)), .init(interface: 1, bytes: packet, originalByteCount: 400)],
        isBigEndian: $0, between: [3, 0, 0, 0, 20, 0, 0, 0, 6, 0, 0, 0, 9, 8, 7, 6, 20, 0, 0, 0])
    }
    for round in 0..<60_000 {
      let bytes = random.mutate(files[round & 1])
      guard var file = try? PacketFile(bytes) else { continue }
      var total = 0
      while let frame = (try? file.next()) ?? nil { total += frame.bytes.count }
      #expect(total <= bytes.count)
    }
  }
}
