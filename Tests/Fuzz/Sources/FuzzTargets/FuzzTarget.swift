internal import Configuration
internal import Dissection
internal import NetworkTypes
internal import STUN

/// A fuzz target. Each target is one function that takes arbitrary bytes and returns a description of the problem, or
/// nil. A trap is always a failure.
public enum FuzzTarget: String, CaseIterable, Sendable {
  case stun
  case framing
  case relay
  case accessTokens = "access-tokens"
  case configuration
  case coturn
  case captures
  case proxyHeaders = "proxy-headers"
  case clientHello = "client-hello"
  case secureDatagrams = "secure-datagrams"
  case admin
  case hookAnswer = "hook-answer"
  case rooms
  case handover

  public func problem(with bytes: [UInt8]) -> String? {
    switch self {
    case .stun: STUNFuzz.problem(with: bytes)
    case .framing: FramingFuzz.problem(with: bytes)
    case .relay: RelayFuzz.problem(with: bytes)
    case .accessTokens: AccessTokenFuzz.problem(with: bytes)
    case .configuration: ConfigurationFuzz.problem(with: bytes)
    case .coturn: CoturnFuzz.problem(with: bytes)
    case .captures: CaptureFuzz.problem(with: bytes)
    case .proxyHeaders: ProxyHeaderFuzz.problem(with: bytes)
    case .clientHello: ClientHelloFuzz.problem(with: bytes)
    case .secureDatagrams: SecureDatagramFuzz.problem(with: bytes)
    case .admin: AdminFuzz.problem(with: bytes)
    case .hookAnswer: HookAnswerFuzz.problem(with: bytes)
    case .rooms: RoomFuzz.problem(with: bytes)
    case .handover: HandoverFuzz.problem(with: bytes)
    }
  }
}

/// Reads the bytes of an input in order; zeros after its end.
struct FuzzInput {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isEmpty: Bool { position >= bytes.count }

  mutating func byte() -> UInt8 {
    guard position < bytes.count else { return 0 }
    defer { position += 1 }
    return bytes[position]
  }

  mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

  /// Takes up to `count` bytes.
  mutating func take(_ count: Int) -> [UInt8] {
    let end = min(position + count, bytes.count)
    defer { position = end }
    return Array(bytes[position..<end])
  }
}

/// The element that a byte of the input chooses; nil if there is none.
func pick<Element>(_ elements: [Element], _ choice: UInt8) -> Element? {
  elements.isEmpty ? nil : elements[Int(choice) % elements.count]
}

enum ConfigurationFuzz {
  struct NoSuchFile: Error {}

  static func problem(with bytes: [UInt8]) -> String? {
    let reader = ConfigurationReader(environment: [:]) { path in
      guard path == "t.yml" else { throw NoSuchFile() }
      return bytes
    }
    do throws(ConfigurationError) {
      let configuration = try reader.read(file: "t.yml")
      return problem(configuration.warnings)
    } catch {
      return error.problems.isEmpty ? "refused without a reason" : problem(error.problems)
    }
  }

  /// Text from a file must not break a message into two lines.
  static func problem(_ problems: [ConfigurationProblem]) -> String? {
    problems.first { "\($0)".contains("\n") }.map { "a message has two lines: \($0)" }
  }
}

/// Translates a turnserver.conf: the printed configuration must be read as the same settings, or be refused.
enum CoturnFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    let translation = CoturnTranslation(bytes) { _ in nil }
    let yaml = Array(translation.yaml.utf8)
    let reader = ConfigurationReader(environment: [:]) { path in
      guard path == "t.conf" || path == "t.yml" else { throw ConfigurationFuzz.NoSuchFile() }
      return path == "t.conf" ? bytes : yaml
    }
    var direct: Configuration?
    do throws(ConfigurationError) {
      let configuration = try reader.read(coturn: "t.conf", hostAddress: { _ in nil })
      if let problem = ConfigurationFuzz.problem(configuration.warnings) { return problem }
      direct = configuration
    } catch {
      if let problem = ConfigurationFuzz.problem(error.problems) { return problem }
    }
    let printed = try? reader.read(file: "t.yml")
    return direct?.settings == printed?.settings ? nil : "the printed YAML means something else"
  }
}

enum CaptureFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    var dissector = Dissector()
    for dissection in dissector.dissect(stream: bytes, limit: 100) where dissection.byteCount <= 0 {
      return "a message of no bytes"
    }
    _ = dissector.dissect(datagram: bytes)
    guard var file = try? PacketFile(bytes) else { return nil }
    var survey = FlowSurvey()
    var segments: [CapturedSegment] = []
    // Each packet has a header, so a file cannot have more packets than bytes.
    while let frame = (try? file.next()) ?? nil, segments.count <= bytes.count {
      guard let segment = try? CapturedSegment.parse(frame.bytes, linkType: frame.linkType) else { continue }
      survey.take(segment)
      segments.append(segment)
    }
    var finder = MessageFinder(survey)
    for segment in segments {
      for message in finder.take(segment).messages { _ = dissector.dissect(message) }
    }
    return segments.count > bytes.count ? "more packets than bytes" : nil
  }
}

/// The relay as a state machine: an input is a list of steps of four clients, of peers and of time.
enum RelayFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    var input = FuzzInput(bytes)
    let world = RelayWorld(isMobile: input.byte() & 1 == 1)
    var steps = 0
    while !input.isEmpty, steps < 200 {
      steps += 1
      world.step(&input)
      if let problem = world.problem ?? world.imbalance { return "step \(steps): \(problem)" }
    }
    return world.end()
  }
}
