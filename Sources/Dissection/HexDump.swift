/// Reads dumps with an offset before each line and possibly a column of characters after it, as Wireshark ("copy as hex
/// dump"), tshark, xxd, od, hexdump and tcpdump print them. Offsets and characters are not data, even if they look like
/// hexadecimal digits: the offsets of a line and of the next one give the number of bytes.
struct HexDump {
  /// The packets in the text: each begins at offset 0. Nil if the text is not such a dump.
  static func packets(_ text: String) -> [[UInt8]]? {
    var lines: [Line] = []
    var hasBegun = false
    for text in text.split(whereSeparator: \.isNewline) {
      guard let line = Line(text, isFirst: !hasBegun) else {
        // A heading, as tcpdump prints it, may precede a packet; a line of bytes is no heading.
        guard HexText.line(text) == nil else { return nil }
        hasBegun = false
        continue
      }
      hasBegun = true
      lines.append(line)
    }
    guard let first = lines.first, !first.isRepetition else { return nil }
    for radix in [16, 8, 10] {
      if let packets = read(lines, radix) { return packets }
    }
    return nil
  }

  /// Limit of the bytes that all repeated lines together stand for.
  private static let repetitionLimit = 1 << 20

  private static func read(_ lines: [Line], _ radix: Int) -> [[UInt8]]? {
    var packets: [[UInt8]] = []
    var packet: [UInt8] = []
    var widest = 0
    var last: [UInt8] = []
    var repeated = 0
    var isRepeating = false
    for (index, line) in lines.enumerated() {
      if line.isRepetition {
        isRepeating = true
        continue
      }
      guard let offset = Int(line.offset, radix: radix) else { return nil }
      if offset == 0, !packet.isEmpty, !isRepeating {
        packets.append(packet)
        packet = []
        widest = 0
      }
      if isRepeating {
        isRepeating = false
        let gap = offset - packet.count
        guard gap >= 0, !last.isEmpty, gap <= repetitionLimit - repeated else { return nil }
        repeated += gap
        for position in 0..<gap { packet.append(last[position % last.count]) }
      }
      guard offset == packet.count else { return nil }
      // The offset of the next line gives the number of bytes of this one.
      let next = index + 1 < lines.count ? lines[index + 1] : nil
      var count: Int?
      if let next, !next.isRepetition, let end = Int(next.offset, radix: radix), end > offset { count = end - offset }
      guard let bytes = line.bytes(count: count, widest: widest) else { return nil }
      guard !bytes.isEmpty || !packet.isEmpty else { return nil }
      widest = max(widest, bytes.count)
      if !bytes.isEmpty { last = bytes }
      packet += bytes
    }
    if isRepeating || packet.isEmpty { return nil }
    packets.append(packet)
    return packets.map { inOrder($0, lines) }
  }

  /// od -x and hexdump print words in little-endian order, xxd and tcpdump in the order of the bytes. If the magic
  /// cookie appears in only one of the two orders, that order is right.
  private static func inOrder(_ packet: [UInt8], _ lines: [Line]) -> [UInt8] {
    guard let line = lines.first, line.wordByteCount > 1 else { return packet }
    var swapped = packet
    for start in stride(from: 0, to: packet.count, by: line.wordByteCount) {
      let end = min(start + line.wordByteCount, packet.count)
      swapped.replaceSubrange(start..<end, with: packet[start..<end].reversed())
    }
    func hasCookie(_ bytes: [UInt8]) -> Bool { bytes.dropFirst(4).starts(with: [0x21, 0x12, 0xA4, 0x42]) }
    if hasCookie(packet) != hasCookie(swapped) { return hasCookie(packet) ? packet : swapped }
    return line.hasColon ? packet : swapped
  }
}

/// One line of a dump.
private struct Line {
  var offset: Substring
  var hasColon = false
  /// "*": the line before is repeated up to the next offset.
  var isRepetition = false
  private var groups: [Group] = []

  private struct Group {
    var digits: Substring
    /// The number of blanks before the group.
    var gap: Int
  }

  /// Nil if the line has no offset. `isFirst`: the offset must be 0.
  init?(_ text: Substring, isFirst: Bool) {
    let text = text.drop { $0 == " " || $0 == "\t" }
    offset = text.prefix(0)
    if text == "*" {
      isRepetition = true
      return
    }
    var body = text
    if body.hasPrefix("0x") { body = body.dropFirst(2) }
    offset = body.prefix { $0.isHexDigit && $0.isASCII }
    guard (3...16).contains(offset.count) else { return nil }
    var rest = body.dropFirst(offset.count)
    if rest.first == ":" {
      hasColon = true
      rest = rest.dropFirst()
    }
    if isFirst, offset.contains(where: { $0 != "0" }) { return nil }
    readGroups(rest)
    if groups.isEmpty { return }
    guard rest.first?.isWhitespace == true else { return nil }
    // "0000 0001 2112" is most likely words of bytes without an offset.
    if !hasColon, groups[0].gap < 2, groups[0].digits.count == offset.count { return nil }
  }

  private mutating func readGroups(_ text: Substring) {
    var rest = text
    while true {
      let gap = rest.prefix { $0.isWhitespace }.count
      rest = rest.dropFirst(gap)
      let word = rest.prefix { !$0.isWhitespace }
      guard !word.isEmpty, word.count <= 32, word.count & 1 == 0, word.allSatisfy({ $0.isHexDigit && $0.isASCII })
      else { return }
      groups.append(Group(digits: word, gap: gap))
      rest = rest.dropFirst(word.count)
    }
  }

  /// The number of bytes in one group.
  var wordByteCount: Int { (groups.first?.digits.count ?? 2) / 2 }

  /// The line's first `count` bytes, or without a count all bytes before the column of characters. Nil if the line has
  /// fewer.
  func bytes(count: Int?, widest: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    let limit = count ?? (widest > 0 ? widest : .max)
    for (index, group) in groups.enumerated() {
      if bytes.count >= limit {
        // The line has more bytes than the offsets tell: the offsets have another radix.
        guard count == nil || group.gap > 1 else { return nil }
        break
      }
      if count == nil, index > 0, group.gap > 1, !isMiddle(index) { break }
      if count == nil, index > 0, group.digits.count > groups[0].digits.count { break }
      var digits = group.digits
      while let first = digits.first?.hexDigitValue, let second = digits.dropFirst().first?.hexDigitValue {
        bytes.append(UInt8(truncatingIfNeeded: first << 4 | second))
        digits = digits.dropFirst(2)
      }
    }
    guard let count else { return bytes }
    // The last word of an odd number of bytes has one more digit pair than there are bytes.
    guard bytes.count >= count, bytes.count - count < wordByteCount else { return nil }
    return bytes.count == count ? bytes : Array(bytes.prefix(count - count % wordByteCount)) + rest(bytes, count)
  }

  /// The bytes of an incomplete last word: a little-endian machine prints them at its end.
  private func rest(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    Array(bytes.suffix(from: count - count % wordByteCount).suffix(count % wordByteCount))
  }

  /// Whether a wider gap is the one that hexdump prints between two groups of eight bytes.
  private func isMiddle(_ index: Int) -> Bool {
    index == 8 && !hasColon && groups[index].gap == 2 && groups[0].digits.count == 2
      && groups[index].digits.count == 2
  }
}
