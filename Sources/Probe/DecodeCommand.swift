internal import ClientIO
internal import CommandLine
internal import Dissection
internal import JSON
internal import NetworkTypes
internal import System

/// `stunclient decode`.
struct DecodeCommand {
  private let arguments: ProbeRequest
  private var dissector: Dissector
  private var outcome: Outcome
  private var messages: [JSONValue] = []
  /// The number of frames for each kind of content or read error.
  private var counts: [(String, Int)] = []
  private var found = 0
  /// Messages that are counted and omitted from the document.
  private var leftOut = 0
  private var first: Duration?
  /// Messages that the capture truncated.
  private var cutShort = 0

  /// Limit of a capture's or text's bytes, and of explained messages; further messages are counted.
  private static let sizeLimit = ByteCount.mebibytes(256)
  static let messageLimit = 1_000_000
  private let messageLimit: Int
  /// Limit of messages read from one stream or text.
  private static let streamLimit = 100_000

  static func run(_ arguments: ProbeRequest, messageLimit: Int = messageLimit) throws(UsageError) -> Outcome {
    let (passwords, secret) = try arguments.credentials.readForVerification()
    let source = IntegritySource(
      username: arguments.credentials.readUsername().map { Array($0.utf8) }, passwords: passwords, secret: secret)
    var command = DecodeCommand(arguments, source, messageLimit)
    try command.run()
    return command.outcome
  }

  private init(_ arguments: ProbeRequest, _ source: IntegritySource, _ messageLimit: Int) {
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
      for packet in Self.packets(content) where outcome.warnings.isEmpty { decode(packet) }
    }
    if leftOut > 0 {
      outcome.warnings.append(
        "only the first \(messageLimit) messages are in the document, without \(leftOut) more; --ndjson has them all"
      )
    }
    outcome.members = [
      ("messages", .array(messages)), ("message_count", .whole(found)),
      ("frames", .record(counts.map { ($0.0, .whole($0.1)) })),
    ]
    if found == 0, outcome.failure == nil {
      outcome.failure = CheckFailure(
        .notSTUN, "the input has neither STUN nor ChannelData",
        advice: "it is encrypted (TLS, DTLS), or belongs to another protocol")
    }
    for (what, count) in counts where what != MessageFinder.Content.stun.rawValue {
      outcome.notes.append(Self.note(what, count))
    }
    if cutShort > 0 {
      outcome.notes.append("\(cutShort) messages are truncated: the capture kept only the beginning of their packets")
    }
  }

  private static func note(_ what: String, _ count: Int) -> String {
    guard what == MessageFinder.Content.candidate.rawValue else { return "\(count) frames: \(what)" }
    return "\(count) frames \(what): there is no STUN between their addresses, so they are not shown"
  }

  // MARK: - Input

  /// Operands are hexadecimal text; a single operand that is no hexadecimal text is a file name.
  private static func content(_ operands: [String]) throws(UsageError) -> [UInt8] {
    guard let first = operands.first, operands != ["-"] else {
      do { return try StandardStreams.readInput(limit: sizeLimit) } catch {
        throw UsageError("standard input: \(error)")
      }
    }
    if HexText.bytes(operands.joined(separator: " ")) != nil, !Files.exists(first) {
      return Array(operands.joined(separator: " ").utf8)
    }
    guard operands.count == 1 else { throw UsageError("\"\(operands[1])\" is not hexadecimal") }
    do { return try Files.read(first, limit: sizeLimit) } catch {
      throw UsageError("\(first): neither hexadecimal nor a file: \(error)")
    }
  }

  /// The bytes of hexadecimal text; other content is already binary.
  private static func packets(_ content: [UInt8]) -> [[UInt8]] {
    guard let text = String(validating: content, as: UTF8.self) else { return [content] }
    return HexText.packets(text) ?? [content]
  }

  /// Decodes messages one after another, or one frame with its headers, as Wireshark copies it.
  private mutating func decode(_ bytes: [UInt8]) {
    if let segment = CapturedSegment.recognize(bytes) {
      addNote("the bytes begin with the headers of a packet, which are left out")
      return record(dissector.dissect(datagram: segment.payload), Origin(segment: segment, time: .zero))
    }
    let limit = max(Self.streamLimit - found, 0)
    let dissections = dissector.dissect(stream: bytes, limit: limit)
    for dissection in dissections { record(dissection, nil) }
    let rest = bytes.count - dissections.reduce(0) { $0 + $1.byteCount }
    if dissections.count == limit, rest > 0 {
      outcome.warnings.append("only the first \(Self.streamLimit) messages were read: \(rest) bytes follow")
    }
  }

  private mutating func addNote(_ text: String) {
    if !outcome.notes.contains(text) { outcome.notes.append(text) }
  }

  // MARK: - Captures

  private mutating func decode(capture content: [UInt8]) throws(UsageError) {
    // ChannelData has no magic cookie: the first pass finds the flows that carry STUN.
    var survey = FlowSurvey()
    if var file = try? PacketFile(content) {
      while let frame = (try? file.next()) ?? nil { if let segment = try? Self.segment(frame) { survey.take(segment) } }
    }
    var finder = MessageFinder(survey)
    do throws(CaptureError) {
      var file = try PacketFile(content)
      while let frame = try file.next() { take(frame, &finder) }
    } catch {
      if found == 0 { throw UsageError("the capture: \(error)") }
      outcome.failure = CheckFailure(
        .malformed, "the capture ends too soon: \(error)",
        advice: "the file was still being written, or is incomplete")
    }
  }

  private static func segment(_ frame: CapturedFrame) throws(CapturedSegment.Problem) -> CapturedSegment {
    try CapturedSegment.parse(
      frame.bytes, linkType: frame.linkType, isCut: frame.originalByteCount > frame.bytes.count)
  }

  private mutating func take(_ frame: CapturedFrame, _ finder: inout MessageFinder) {
    if first == nil { first = frame.time }
    let segment: CapturedSegment
    do throws(CapturedSegment.Problem) {
      segment = try Self.segment(frame)
    } catch {
      switch error {
      case .notOurs: count("neither UDP nor TCP over IP")
      case .fragment: count("fragments, which are not reassembled")
      case .truncated: count("truncated or malformed")
      case .linkType(let type): count("of link type \(type), which is unknown")
      }
      return
    }
    // Frames of several interfaces may be out of order in time.
    let origin = Origin(segment: segment, time: max(frame.time - (first ?? .zero), .zero))
    let (content, messages) = finder.take(segment)
    count(content.rawValue)
    for message in messages {
      if message.missing > 0 { cutShort += 1 }
      record(dissector.dissect(message), origin)
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

  /// The position of a message in the capture.
  private struct Origin {
    var segment: CapturedSegment
    /// The time since the first frame.
    var time: Duration

    var transport: String { segment.transport == .udp ? "UDP" : "TCP" }
  }

  private mutating func record(_ dissection: Dissection, _ origin: Origin?) {
    if dissection.kind != .other || !dissection.problems.isEmpty { found += 1 }
    judge(dissection)
    switch arguments.format {
    case .text: Output.write(text(dissection, origin))
    case .ndjson: Output.write(NDJSON.line("message", members(dissection, origin)))
    case .json:
      if messages.count < messageLimit { messages.append(.record(members(dissection, origin))) } else { leftOut += 1 }
    case .check: break
    }
  }

  private mutating func judge(_ dissection: Dissection) {
    guard outcome.failure == nil, let problem = dissection.problems.first else { return }
    let label = "message \(found), \(dissection.title)"
    outcome.failure =
      dissection.isIntegrityRight == false
      ? CheckFailure(
        .integrity, "\(label): \(problem)",
        advice: "another password, user name or realm, or the message was changed on its way"
      )
      : CheckFailure(
        .malformed, "\(label): \(problem)", advice: "its sender violates the format, or the capture is truncated")
  }

  private func text(_ dissection: Dissection, _ origin: Origin?) -> String {
    var head = "\(found)  "
    if let origin {
      let time = Decimal.fixed(origin.time.wholeNanoseconds / 1000, 6)
      head += "\(time) \(origin.transport) \(origin.segment.source) > \(origin.segment.destination)  "
    }
    var lines = [head + Style.green(Style.plain(dissection.title)) + ", \(dissection.byteCount) bytes"]
    if let transaction = dissection.transaction { lines.append("   transaction              \(transaction)") }
    for attribute in dissection.attributes {
      let remarks = attribute.remarks.isEmpty ? "" : "  <- " + attribute.remarks.joined(separator: "; ")
      let name = attribute.name == "unknown" ? "(\(attribute.byteCount) bytes)" : attribute.name
      lines.append(
        Style.plain("   \(Self.type(attribute.type)) \(name.padded(to: 25)) \(attribute.text)\(remarks)"))
    }
    if let content = dissection.content { lines.append(Style.plain("   \(content)")) }
    lines += dissection.problems.map { "   " + Style.red("problem: ") + Style.plain($0) }
    return lines.map { $0 + "\n" }.joined()
  }

  private static func type(_ type: UInt16) -> String {
    let digits = String(type, radix: 16)
    return "0x" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
  }

  private func members(_ dissection: Dissection, _ origin: Origin?) -> [(String, JSONValue)] {
    let attributes = dissection.attributes.map { attribute in
      JSONValue.record([
        ("type", .whole(attribute.type)), ("name", .string(attribute.name)), ("offset", .whole(attribute.offset)),
        ("length", .whole(attribute.byteCount)), ("value", .string(attribute.text)),
        ("remarks", .strings(attribute.remarks)),
      ])
    }
    return [
      ("kind", .string(dissection.kind.rawValue)), ("title", .string(dissection.title)),
      ("time", origin.map { .double($0.time.fractionalSeconds) } ?? .null),
      ("transport", .optional(origin?.transport.lowercased())),
      ("source", .optional(origin?.segment.source.description)),
      ("destination", .optional(origin?.segment.destination.description)), ("length", .whole(dissection.byteCount)),
      ("transaction", .optional(dissection.transaction)), ("attributes", .array(attributes)),
      ("content", .optional(dissection.content)),
      ("fingerprint", dissection.isFingerprintRight.map(JSONValue.bool) ?? .null),
      ("integrity", dissection.isIntegrityRight.map(JSONValue.bool) ?? .null),
      ("problems", .strings(dissection.problems)),
    ]
  }
}
