internal import NetworkTypes
internal import STUN

/// The first of two passes over a capture: it collects evidence about each flow. ChannelData has no magic cookie and
/// looks like many other protocols, so the second pass needs that evidence to recognise it.
public struct FlowSurvey: Sendable {
  /// Both directions of one UDP or TCP conversation.
  struct Flow: Hashable {
    let low: SocketAddress
    let high: SocketAddress
    let isTCP: Bool

    init(_ segment: CapturedSegment) {
      let isOrdered =
        segment.source.address == segment.destination.address
        ? segment.source.port <= segment.destination.port : segment.source.address < segment.destination.address
      low = isOrdered ? segment.source : segment.destination
      high = isOrdered ? segment.destination : segment.source
      isTCP = segment.transport != .udp
    }

    /// GTP-C's header looks like ChannelData's: its flags and message type look like a channel number.
    var isGTP: Bool { !isTCP && (low.port == 2123 || high.port == 2123) }
  }

  /// The evidence about one flow.
  struct Evidence {
    var hasSTUN = false
    /// Whether the messages have two-byte lengths (RFC 4571), as in ICE over TCP.
    var isFramed = false
    /// Whether the flow carries bytes that are neither STUN nor ChannelData.
    var hasOther = false
    /// Possible ChannelData frames, for each channel.
    var runs: [UInt16: Run] = [:]
  }

  /// The frames on one channel.
  struct Run {
    var count = 0
    /// The hash of the first frame's data.
    var first = 0
    /// Whether a later frame had other data.
    var isVaried = false
  }

  private var flows: [Flow: Evidence] = [:]
  private var streams = StreamReassembler()

  /// Limits of flows and of channels in one flow; later ones are ignored. `runLength`: the number of frames on one
  /// channel that proves ChannelData in a flow without STUN.
  private static let flowLimit = 65_536
  private static let channelLimit = 16
  private static let runLength = 3
  /// The last channel number of RFC 8656 section 12. RFC 5766 has higher numbers: for these, only STUN in the same flow
  /// is a proof.
  static let lastChannel: UInt16 = 0x4FFF

  public init() {}

  /// Adds the next segment; the caller passes every segment of the capture, in order.
  public mutating func take(_ segment: CapturedSegment) {
    let flow = Flow(segment)
    guard flows[flow] != nil || flows.count < Self.flowLimit else { return }
    var evidence = flows[flow] ?? Evidence()
    if flow.isTCP {
      let found = streams.take(segment, .survey)
      for piece in found.messages { Self.count(piece, in: &evidence) }
      if found.isFramed { evidence.isFramed = true }
      if found.isOther { evidence.hasOther = true }
    } else {
      Self.count(StreamReassembler.Piece(bytes: segment.payload, missing: segment.missing), in: &evidence)
    }
    flows[flow] = evidence
  }

  private static func count(_ piece: StreamReassembler.Piece, in evidence: inout Evidence) {
    switch Shape(piece.bytes, missing: piece.missing) {
    case .message: evidence.hasSTUN = true
    case .channelData(let channel):
      guard channel <= Self.lastChannel else {
        evidence.hasOther = true
        return
      }
      guard evidence.runs[channel] != nil || evidence.runs.count < channelLimit else { return }
      // Many protocols have keep-alives without data or with constant data: they prove nothing.
      guard piece.bytes.count > 4 else { return }
      let hash = piece.bytes.hashValue
      var run = evidence.runs[channel] ?? Run(first: hash)
      run.count += 1
      if hash != run.first { run.isVaried = true }
      evidence.runs[channel] = run
    case .classic, .other: if !piece.bytes.isEmpty { evidence.hasOther = true }
    }
  }

  // MARK: - Judging the evidence

  /// Whether the evidence proves that frames on this channel are ChannelData.
  func believes(_ channel: UInt16, in flow: Flow) -> Bool {
    guard let evidence = flows[flow] else { return false }
    if evidence.hasSTUN { return true }
    // Frames on channels above 0x4FFF are never counted as runs.
    guard let run = evidence.runs[channel], !evidence.hasOther, !flow.isGTP else { return false }
    return run.count >= Self.runLength && run.isVaried
  }

  /// The way to read the streams of a flow.
  func reading(of flow: Flow) -> StreamReassembler.Reading {
    guard let evidence = flows[flow] else { return .plain(allowsChannelData: false) }
    if evidence.isFramed { return .framed }
    return .plain(
      allowsChannelData: evidence.hasSTUN || evidence.runs.keys.contains { believes($0, in: flow) })
  }

  /// Whether the flow carries STUN or TURN.
  func isOurs(_ flow: Flow) -> Bool {
    guard let evidence = flows[flow] else { return false }
    return evidence.hasSTUN || evidence.runs.keys.contains { believes($0, in: flow) }
  }

  /// Whether every frame of the flow could be ChannelData, without proof.
  func isCandidate(_ flow: Flow) -> Bool {
    guard let evidence = flows[flow] else { return false }
    // A single frame of a TCP stream proves too little: the first bytes of many texts look like ChannelData.
    let enough = evidence.runs.values.contains { $0.count > 1 || !flow.isTCP }
    return enough && !evidence.hasOther && !isOurs(flow)
  }
}

/// The protocol that bytes look like, without knowledge of their flow.
enum Shape: Equatable {
  /// STUN with the magic cookie.
  case message
  /// STUN of RFC 3489: one of its six types, its exact length, attributes that parse.
  case classic
  /// A channel number and an exact length: possibly ChannelData.
  case channelData(UInt16)
  case other

  /// `missing`: bytes that the capture omitted.
  init(_ bytes: [UInt8], missing: Int = 0) {
    self = .other
    guard bytes.count >= 4 else { return }
    let view = bytes.span.rawBytes
    let type = view.bigEndian16(at: 0)
    let length = Int(view.bigEndian16(at: 2))
    let whole = bytes.count + missing
    if bytes[0] < 4 {
      if bytes.count >= 8, view.bigEndian32(at: 4) == magicCookie {
        self = .message
      } else if missing == 0, whole == headerByteCount + length, Self.isClassic(type, bytes) {
        self = .classic
      }
    } else if 0x40...0x7F ~= bytes[0], (4 + length...4 + ((length + 3) & ~3)).contains(whole) {
      self = .channelData(type)
    }
  }

  /// Whether the bytes are a message of RFC 3489: Binding or Shared Secret (section 11.1), with attributes up to
  /// REFLECTED-FROM (section 11.2) or optional ones, from 0x8000 on.
  private static func isClassic(_ type: UInt16, _ bytes: [UInt8]) -> Bool {
    guard [0x0001, 0x0101, 0x0111, 0x0002, 0x0102, 0x0112].contains(type) else { return false }
    let view = bytes.span.rawBytes
    var offset = headerByteCount
    while offset + 4 <= bytes.count {
      let attribute = view.bigEndian16(at: offset)
      guard 1...0x000B ~= attribute || attribute >= 0x8000 else { return false }
      offset += 4 + ((Int(view.bigEndian16(at: offset + 2)) + 3) & ~3)
    }
    return offset == bytes.count
  }
}
