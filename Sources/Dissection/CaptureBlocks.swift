/// Reads the blocks of a pcapng file (draft-ietf-opsawg-pcapng). Each packet has the link type and time resolution of
/// its interface.
///
/// libpcap refuses a file whose interfaces differ in link type or snapshot length, such as a merged capture. The file
/// is untrusted: every length is checked before use.
struct CaptureBlocks {
  private struct Interface {
    var linkType: Int32
    /// Limit of bytes kept from each packet; 0: all.
    var snapshotLength: Int
    var resolution = Resolution.decimal(6)
    /// Seconds to add to the interface's times.
    var offset: Int64 = 0
  }

  private enum Resolution {
    /// Units of 10^-n seconds.
    case decimal(UInt8)
    /// Units of 2^-n seconds.
    case binary(UInt8)
  }

  private let bytes: [UInt8]
  private var offset = 0
  private var isBigEndian = false
  private var interfaces: [Interface] = []
  /// The time of the previous packet, in nanoseconds; Simple Packet Blocks, which have no time, get it too.
  private var lastTime: UInt64 = 0

  /// Limit of interfaces in one section.
  static let interfaceLimit = 4096
  static let magic: [UInt8] = [0x0A, 0x0D, 0x0D, 0x0A]

  init(_ bytes: [UInt8]) throws(CaptureError) {
    self.bytes = bytes
    // 28 bytes: the shortest Section Header Block, with which every file begins.
    guard bytes.starts(with: Self.magic), bytes.count >= 28 else { throw CaptureError(description: "no pcapng file") }
  }

  /// The next packet; nil at the end.
  mutating func next() throws(CaptureError) -> CapturedFrame? {
    while offset < bytes.count {
      guard bytes.count - offset >= 12 else { throw CaptureError(description: "it ends within a block") }
      let isSection = bytes[offset..<(offset + 4)].elementsEqual(Self.magic)
      if isSection { try beginSection() }
      let type = word32(offset)
      let length = Int(word32(offset + 4))
      guard length >= 12, length & 3 == 0 else { throw CaptureError(description: "a block of \(length) bytes") }
      guard length <= bytes.count - offset else { throw CaptureError(description: "it ends within a block") }
      guard word32(offset + length - 4) == word32(offset + 4) else {
        throw CaptureError(description: "a block's two lengths differ")
      }
      let body = (offset + 8)..<(offset + length - 4)
      offset += length
      if !isSection, let frame = try read(type, body) { return frame }
    }
    return nil
  }

  private mutating func beginSection() throws(CaptureError) {
    guard bytes.count - offset >= 28 else { throw CaptureError(description: "it ends within a block") }
    switch bytes[offset + 8..<offset + 12] {
    case [0x1A, 0x2B, 0x3C, 0x4D]: isBigEndian = true
    case [0x4D, 0x3C, 0x2B, 0x1A]: isBigEndian = false
    default: throw CaptureError(description: "a section without byte-order magic")
    }
    guard word16(offset + 12) == 1 else { throw CaptureError(description: "pcapng version \(word16(offset + 12))") }
    interfaces = []
  }

  /// Reads one block; nil if it is not a packet.
  private mutating func read(_ type: UInt32, _ body: Range<Int>) throws(CaptureError) -> CapturedFrame? {
    let start = body.lowerBound
    switch type {
    case 1:
      guard body.count >= 8 else { throw Self.short }
      try addInterface(body)
      return nil
    case 2:
      // Packet Block, obsolete.
      guard body.count >= 20 else { throw Self.short }
      return try frame(
        Int(word16(start)), time64(start + 4), word32(start + 12), word32(start + 16), start + 20..<body.upperBound)
    case 3:
      // Simple Packet Block: only the snapshot length tells how many bytes the capture kept.
      guard body.count >= 4, let first = interfaces.first else { throw Self.short }
      let original = Int(word32(start))
      let limit = first.snapshotLength == 0 ? original : min(original, first.snapshotLength)
      let kept = min(limit, body.count - 4)
      return CapturedFrame(
        time: .nanoseconds(lastTime), linkType: first.linkType, bytes: Array(bytes[start + 4..<start + 4 + kept]),
        originalByteCount: original)
    case 6:
      // Enhanced Packet Block.
      guard body.count >= 20 else { throw Self.short }
      return try frame(
        Int(word32(start)), time64(start + 4), word32(start + 12), word32(start + 16), start + 20..<body.upperBound)
    default: return nil
    }
  }

  private static let short = CaptureError(description: "a block is too short for its kind")

  private mutating func frame(
    _ number: Int, _ time: UInt64, _ kept: UInt32, _ original: UInt32, _ room: Range<Int>
  ) throws(CaptureError) -> CapturedFrame {
    guard interfaces.indices.contains(number) else {
      throw CaptureError(description: "a packet of interface \(number), which has no Interface Description Block")
    }
    guard Int(kept) <= room.count else { throw CaptureError(description: "a packet that is longer than its block") }
    let interface = interfaces[number]
    lastTime = Self.nanoseconds(time, interface)
    return CapturedFrame(
      time: .nanoseconds(lastTime), linkType: interface.linkType,
      bytes: Array(bytes[room.lowerBound..<room.lowerBound + Int(kept)]),
      originalByteCount: max(Int(original), Int(kept)))
  }

  // MARK: - Interfaces

  private mutating func addInterface(_ body: Range<Int>) throws(CaptureError) {
    guard interfaces.count < Self.interfaceLimit else {
      throw CaptureError(description: "more than \(Self.interfaceLimit) interfaces")
    }
    var interface = Interface(
      linkType: Int32(word16(body.lowerBound)), snapshotLength: Int(word32(body.lowerBound + 4)))
    var option = body.lowerBound + 8
    while option + 4 <= body.upperBound {
      let code = word16(option)
      let length = Int(word16(option + 2))
      guard code != 0, option + 4 + length <= body.upperBound else { break }
      if code == 9, length == 1 {
        let value = bytes[option + 4]
        interface.resolution = value & 0x80 == 0 ? .decimal(value) : .binary(value & 0x7F)
      }
      if code == 14, length == 8 { interface.offset = Int64(bitPattern: word64(option + 4)) }
      option += 4 + ((length + 3) & ~3)
    }
    interfaces.append(interface)
  }

  /// The time since 1970; 0 for a number that is too large.
  private static func nanoseconds(_ time: UInt64, _ interface: Interface) -> UInt64 {
    var value: UInt64
    switch interface.resolution {
    case .decimal(let digits) where digits <= 9:
      let (scaled, overflow) = time.multipliedReportingOverflow(by: power(9 - digits))
      value = overflow ? 0 : scaled
    case .decimal(let digits): value = digits <= 28 ? time / power(digits - 9) : 0
    case .binary(let bits) where bits < 64:
      let (seconds, overflow) = (time >> UInt64(bits)).multipliedReportingOverflow(by: 1_000_000_000)
      let fraction = time & ((1 << UInt64(bits)) &- 1)
      let (high, low) = fraction.multipliedFullWidth(by: 1_000_000_000)
      value = overflow ? 0 : seconds &+ (bits == 0 ? 0 : high << UInt64(64 - bits) | low >> UInt64(bits))
    case .binary: value = 0
    }
    value &+= UInt64(bitPattern: interface.offset &* 1_000_000_000)
    return value
  }

  private static func power(_ exponent: UInt8) -> UInt64 {
    var value: UInt64 = 1
    for _ in 0..<min(exponent, 19) { value *= 10 }
    return value
  }

  // MARK: - Numbers in the section's byte order; the caller has checked that they are there

  private func word16(_ at: Int) -> UInt16 {
    isBigEndian ? UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) : UInt16(bytes[at + 1]) << 8 | UInt16(bytes[at])
  }

  private func word32(_ at: Int) -> UInt32 {
    isBigEndian
      ? UInt32(word16(at)) << 16 | UInt32(word16(at + 2)) : UInt32(word16(at + 2)) << 16 | UInt32(word16(at))
  }

  private func word64(_ at: Int) -> UInt64 {
    isBigEndian
      ? UInt64(word32(at)) << 32 | UInt64(word32(at + 4)) : UInt64(word32(at + 4)) << 32 | UInt64(word32(at))
  }

  /// A time in two words, the higher one first in either byte order.
  private func time64(_ at: Int) -> UInt64 { UInt64(word32(at)) << 32 | UInt64(word32(at + 4)) }
}
