internal import Capture
internal import ClientIO
internal import ClientPrograms
internal import Dissection
internal import JSON
internal import NetIO
internal import NetworkTypes

/// `stunclient decode`.
struct DecodeCommand {
  private let arguments: Arguments
  private var dissector: Dissector
  private var streams = StreamReassembler()
  private var outcome: Outcome
  private var messages: [JSONValue] = []
  /// Frames by what became of them.
  private var counts: [(String, Int)] = []
  private var found = 0
  /// Messages that are counted and not in the document.
  private var leftOut = 0
  private var first: UInt64?

  /// Captures and texts up to this many bytes are read; and messages are explained up to this many, then counted.
  private static let sizeLimit = 256 << 20
  static let messageLimit = 1_000_000
  private let messageLimit: Int
  /// Messages of a stream or text that are read.
  private static let streamLimit = 100_000

  static func run(_ arguments: Arguments, messageLimit: Int = messageLimit) throws(UsageError) -> Outcome {
    let (passwords, secret) = try arguments.credentials.readForVerification()
    let source = IntegritySource(
      username: arguments.credentials.readUsername().map { Array($0.utf8) }, passwords: passwords, secret: secret)
    var command = DecodeCommand(arguments, source, messageLimit)
    try command.run()
    return command.outcome
  }

  private init(_ arguments: Arguments, _ source: IntegritySource, _ messageLimit: Int) {
    self.arguments = arguments
    self.messageLimit = messageLimit
    dissector = Dissector(source: source)
    outcome = Outcome(command: "decode", uri: arguments.operands.first ?? "-")
  }

  private mutating func run() throws(UsageError) {
    let content = try Self.content(arguments.operands)
    if PacketFile.begins(content) {
      try decode(capture: content)
    } else {
      let bytes = Self.bytes(content)
      let dissections = dissector.dissect(stream: bytes, limit: Self.streamLimit)
      for dissection in dissections { note(dissection, nil) }
      let rest = bytes.count - dissections.reduce(0) { $0 + $1.byteCount }
      if dissections.count == Self.streamLimit, rest > 0 {
        outcome.warnings.append("only the first \(Self.streamLimit) messages were read: \(rest) bytes follow")
      }
    }
    if leftOut > 0 {
      outcome.warnings.append(
        "only the first \(messageLimit) messages are in the document: \(leftOut) more are left out, and --ndjson has all")
    }
    outcome.members = [
      ("messages", .array(messages)), ("message_count", .whole(found)),
      ("frames", .record(counts.map { ($0.0, .whole($0.1)) })),
    ]
    if found == 0, outcome.failure == nil {
      outcome.failure = CheckFailure(
        .notSTUN, "there is neither STUN nor ChannelData in it",
        advice: "it is encrypted (TLS, DTLS), or another protocol's")
    }
    for (what, count) in counts where what != "stun" { outcome.notes.append("\(count) frames: \(what)") }
  }

  // MARK: - Input

  /// Operands are hexadecimal text; a single one that is no such text is a file.
  private static func content(_ operands: [String]) throws(UsageError) -> [UInt8] {
    guard let first = operands.first, operands != ["-"] else {
      do { return try StandardStreams.readInput(limit: sizeLimit) } catch {
        throw UsageError("standard input: \(error)")
      }
    }
    if HexText.bytes(operands.joined(separator: " ")) != nil, !Files.exists(first) {
      return Array(operands.joined(separator: " ").utf8)
    }
    guard operands.count == 1 else { throw UsageError("\"\(operands[1])\" is no hexadecimal") }
    do { return try Files.read(first, limit: sizeLimit) } catch {
      throw UsageError("\(first): neither hexadecimal nor a file: \(error)")
    }
  }

  /// Text is taken for hexadecimal where it can be, everything else for the bytes themselves.
  private static func bytes(_ content: [UInt8]) -> [UInt8] {
    guard let text = String(validating: content, as: UTF8.self) else { return content }
    return HexText.bytes(text) ?? content
  }

  // MARK: - Captures

  private mutating func decode(capture content: [UInt8]) throws(UsageError) {
    do throws(CaptureError) {
      var file = try PacketFile(content)
      while let frame = try file.next() { take(frame) }
    } catch {
      if found == 0 { throw UsageError("the capture: \(error)") }
      outcome.failure = CheckFailure(
        .malformed, "the capture ends too soon: \(error)",
        advice: "it was read while it was still being written, or cut off")
    }
  }

  private mutating func take(_ frame: CapturedFrame) {
    if first == nil { first = frame.nanoseconds }
    let segment: CapturedSegment
    do throws(CapturedSegment.Problem) {
      segment = try CapturedSegment.parse(frame.bytes, linkType: frame.linkType)
    } catch {
      switch error {
      case .notOurs: count("neither UDP nor TCP over IP")
      case .fragment: count("fragments, which are not put together")
      case .truncated: count("cut short or malformed")
      case .linkType(let type): count("of link type \(type), which is not known here")
      }
      return
    }
    let place = Place(segment: segment, time: frame.nanoseconds &- (first ?? 0))
    switch segment.transport {
    case .udp:
      guard Self.looksLikeSTUN(segment.payload) else { return count("UDP with other content") }
      count("stun")
      note(dissector.dissect(datagram: segment.payload), place)
    case .tcp:
      let (found, isSTUN) = streams.take(segment)
      count(isSTUN ? "stun" : "TCP with other content")
      for message in found { note(dissector.dissect(datagram: message), place) }
    }
  }

  /// In a capture much else is about: STUN has its cookie, or the exact length of RFC 3489; ChannelData its exact
  /// length.
  private static func looksLikeSTUN(_ payload: [UInt8]) -> Bool {
    guard payload.count >= 4, let head = payload.first else { return false }
    let length = Int(payload[2]) << 8 | Int(payload[3])
    switch head {
    case 0...3:
      let hasCookie = payload.count >= 8 && payload[4..<8].elementsEqual([0x21, 0x12, 0xA4, 0x42])
      return hasCookie || payload.count == 20 + length
    case 0x40...0x4F: return (4 + length...4 + ((length + 3) & ~3)).contains(payload.count)
    default: return false
    }
  }

  private mutating func count(_ what: String) {
    if let index = counts.firstIndex(where: { $0.0 == what }) {
      counts[index].1 += 1
    } else {
      counts.append((what, 1))
    }
  }

  // MARK: - Output

  /// Where a message was seen.
  private struct Place {
    var segment: CapturedSegment
    /// Nanoseconds since the first frame.
    var time: UInt64

    var transport: String { segment.transport == .udp ? "UDP" : "TCP" }
  }

  private mutating func note(_ dissection: Dissection, _ place: Place?) {
    if dissection.kind != .other || !dissection.problems.isEmpty { found += 1 }
    judge(dissection)
    switch arguments.format {
    case .text: Output.write(text(dissection, place))
    case .ndjson: Output.write(Event.line("message", members(dissection, place)))
    case .json:
      if messages.count < messageLimit { messages.append(.record(members(dissection, place))) } else { leftOut += 1 }
    case .check: break
    }
  }

  private mutating func judge(_ dissection: Dissection) {
    guard outcome.failure == nil, let problem = dissection.problems.first else { return }
    let place = "message \(found), \(dissection.title)"
    outcome.failure =
      dissection.isIntegrityRight == false
      ? CheckFailure(
        .integrity, "\(place): \(problem)", advice: "another password, user name or realm, or it was changed on its way"
      )
      : CheckFailure(
        .malformed, "\(place): \(problem)", advice: "whoever sent it breaks the format, or the capture cut it short")
  }

  private func text(_ dissection: Dissection, _ place: Place?) -> String {
    var head = "\(found)  "
    if let place {
      let time = Decimal.fixed(place.time / 1000, 6)
      head += "\(time) \(place.transport) \(place.segment.source) > \(place.segment.destination)  "
    }
    var lines = [head + Style.green(Style.plain(dissection.title)) + ", \(dissection.byteCount) bytes"]
    if let transaction = dissection.transaction { lines.append("   transaction              \(transaction)") }
    for attribute in dissection.attributes {
      let remarks = attribute.remarks.isEmpty ? "" : "  <- " + attribute.remarks.joined(separator: "; ")
      let name = attribute.name == "unknown" ? "(\(attribute.byteCount) bytes)" : attribute.name
      lines.append(
        Style.plain("   \(Self.type(attribute.type)) \(Decimal.padded(name, 25)) \(attribute.text)\(remarks)"))
    }
    if let content = dissection.content { lines.append(Style.plain("   \(content)")) }
    lines += dissection.problems.map { "   " + Style.red("problem: ") + Style.plain($0) }
    return lines.map { $0 + "\n" }.joined()
  }

  private static func type(_ type: UInt16) -> String {
    let digits = String(type, radix: 16)
    return "0x" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
  }

  private func members(_ dissection: Dissection, _ place: Place?) -> [(String, JSONValue)] {
    let attributes = dissection.attributes.map { attribute in
      JSONValue.record([
        ("type", .whole(attribute.type)), ("name", .string(attribute.name)), ("offset", .whole(attribute.offset)),
        ("length", .whole(attribute.byteCount)), ("value", .string(attribute.text)),
        ("remarks", .strings(attribute.remarks)),
      ])
    }
    return [
      ("kind", .string(dissection.kind.rawValue)), ("title", .string(dissection.title)),
      ("time", place.map { .double(Double($0.time) / 1e9) } ?? .null),
      ("transport", .optional(place?.transport.lowercased())),
      ("source", .optional(place?.segment.source.description)),
      ("destination", .optional(place?.segment.destination.description)), ("length", .whole(dissection.byteCount)),
      ("transaction", .optional(dissection.transaction)), ("attributes", .array(attributes)),
      ("content", .optional(dissection.content)),
      ("fingerprint", dissection.isFingerprintRight.map(JSONValue.bool) ?? .null),
      ("integrity", dissection.isIntegrityRight.map(JSONValue.bool) ?? .null),
      ("problems", .strings(dissection.problems)),
    ]
  }
}
