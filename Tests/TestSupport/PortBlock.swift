/// Ports of one suite that starts servers. All suites run in one process at the same time, so no two blocks overlap:
/// a new suite takes a block of its own here. All are below 32768, where Linux begins to choose ports itself.
public struct PortBlock: Sendable {
  /// The ports of one server: its listeners, an admin endpoint, a receiver.
  public static let step: UInt16 = 10

  public let name: String
  public let ports: Range<UInt16>

  private init(_ name: String, _ ports: Range<UInt16>) {
    self.name = name
    self.ports = ports
  }

  /// The first port of the suite's server with this number.
  public subscript(number: UInt16) -> UInt16 {
    let port = ports.lowerBound + number * Self.step
    precondition(port + Self.step <= ports.upperBound, "\(name) needs more ports than \(ports)")
    return port
  }

  public static let webhook = PortBlock("webhook", 17_000..<18_000)
  public static let hardening = PortBlock("hardening", 18_600..<18_900)
  public static let hostLimit = PortBlock("host limit", 18_900..<19_500)
  public static let proxyProtocol = PortBlock("PROXY protocol", 19_500..<19_700)
  public static let doctor = PortBlock("doctor", 19_700..<19_800)
  public static let engine = PortBlock("engine", 20_000..<21_000)
  public static let terminal = PortBlock("terminal", 21_000..<21_100)
  /// Relay ports of a server.
  public static let relay = PortBlock("relay", 21_900..<22_000)
  public static let coturn = PortBlock("coturn", 22_000..<25_400)
  public static let probe = PortBlock("probe", 25_400..<25_700)
  public static let check = PortBlock("check", 25_700..<26_000)
  public static let server = PortBlock("server", 26_000..<27_000)
  public static let tcpRelay = PortBlock("TCP relay", 28_000..<28_400)
  public static let discovery = PortBlock("discovery", 28_400..<28_600)
  public static let admin = PortBlock("admin", 27_000..<28_000)

  /// Users, secrets and bans of the admin endpoint.
  public static let adminChanges = PortBlock("admin changes", 30_000..<30_300)

  public static let selfProbe = PortBlock("self-probe", 30_300..<30_500)
  /// `turnpike demo`.
  public static let demo = PortBlock("demo", 30_700..<30_800)
  public static let upgrade = PortBlock("upgrade", 30_500..<30_700)
  /// The behaviour of configuration keys.
  public static let keys = PortBlock("keys", 30_800..<31_200)
  /// Files of coturn.
  public static let coturnFiles = PortBlock("files of coturn", 31_300..<31_400)
  /// Client certificates, and certificates by server name.
  public static let certificates = PortBlock("certificates", 31_200..<31_300)

  public static let all = [
    webhook, hardening, hostLimit, proxyProtocol, doctor, engine, terminal, relay, coturn, probe, check, server,
    tcpRelay, discovery, admin, adminChanges, selfProbe, demo, upgrade, keys,
    certificates, coturnFiles,
  ]
}
