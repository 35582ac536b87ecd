/// Finds the messages in the segments of a capture that `FlowSurvey` has read: the second of two passes.
public struct MessageFinder: Sendable {
  /// The content of a segment.
  public enum Content: String, Hashable, Sendable, CaseIterable {
    case stun
    case candidate = "could be ChannelData"
    case udp = "UDP with other content"
    case tcp = "TCP with other content"
    case framed = "ICE-TCP with other content"
  }

  /// A message, and the number of its bytes that the capture omitted.
  public struct Message: Hashable, Sendable {
    public var bytes: [UInt8]
    public var missing: Int
  }

  private let survey: FlowSurvey
  private var streams = StreamReassembler()

  public init(_ survey: FlowSurvey) { self.survey = survey }

  /// Adds the next segment, in the same order as the survey, and returns its content and the messages that it
  /// completes.
  public mutating func take(_ segment: CapturedSegment) -> (content: Content, messages: [Message]) {
    let flow = FlowSurvey.Flow(segment)
    guard flow.isTCP else { return take(datagram: segment, flow) }
    let reading = survey.reading(of: flow)
    let found = streams.take(segment, reading)
    guard survey.isOurs(flow) else { return (survey.isCandidate(flow) ? .candidate : .tcp, []) }
    let messages = found.messages.map { Message(bytes: $0.bytes, missing: $0.missing) }
    if reading == .framed, messages.isEmpty, !segment.payload.isEmpty { return (.framed, []) }
    return (found.isOther && messages.isEmpty ? .tcp : .stun, messages)
  }

  private func take(datagram segment: CapturedSegment, _ flow: FlowSurvey.Flow) -> (Content, [Message]) {
    let message = Message(bytes: segment.payload, missing: segment.missing)
    switch Shape(segment.payload, missing: segment.missing) {
    case .message, .classic: return (.stun, [message])
    case .channelData(let channel):
      if survey.believes(channel, in: flow) { return (.stun, [message]) }
      return (channel <= FlowSurvey.lastChannel ? .candidate : .udp, [])
    case .other: return (.udp, [])
    }
  }
}
