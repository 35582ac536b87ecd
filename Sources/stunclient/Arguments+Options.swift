internal import Probe
internal import CommandLine
internal import NetworkTypes

extension Arguments {
  /// Applies one option.
  mutating func take(_ given: GivenOption<Command>) throws(UsageError) {
    switch given.name {
    case "-4": family = .ipv4
    case "-6": family = .ipv6
    case "--family": family = try Self.family(given)
    case "--relay-family": relayFamily = try Self.family(given)
    case "--udp": transport = .udp
    case "--tcp": transport = .tcp
    case "--tls": transport = .tls
    case "--dtls": transport = .dtls
    case "--protocol": transport = try Self.transport(given)
    case "--localaddr": localAddress = given.text
    case "--localport": localPort = UInt16(try given.number())
    case "--dns-server": nameServer = try Self.nameServer(given)
    case "--trace": isTraced = true
    case "--ice-servers": iceServers = given.text
    case "--json": format = .json
    case "--ndjson": format = .ndjson
    case "--check": format = .check
    case "--prometheus": prometheus = given.text
    case "--count": count = Int(try given.number())
    case "--interval": interval = try given.duration()
    case "--timeout": timeout = try given.duration()
    case "--warn-rtt": thresholds.roundTrip = try given.duration()
    case "--warn-loss": thresholds.loss = try given.number()
    case "--min-days": thresholds.days = Int64(try given.number())
    case "--lifetime": lifetime = .seconds(try given.number())
    case "--ttl": timeToLive = .seconds(try given.number())
    case "--mode": mode = Mode(rawValue: try given.choice())
    // stuntman's --verbosity has no effect here; only its form is checked.
    case "--verbosity": _ = try given.number()
    default: takeCredentials(given)
    }
  }

  private mutating func takeCredentials(_ given: GivenOption<Command>) {
    switch given.name {
    case "--insecure": trust.isInsecure = true
    case "--certificate": trust.certificate = given.text
    case "--private-key": trust.privateKey = given.text
    case "--ca": trust.authorities = given.text
    case "--username": credentials.username = given.text
    case "--password-file": credentials.passwordFile = given.text
    case "--secret-file": credentials.secretFile = given.text
    case "--oauth-token-file": credentials.tokenFile = given.text
    case "--second-username": second.username = given.text
    case "--second-password-file": second.passwordFile = given.text
    case "--i-own-this-server": isOwner = true
    default: assertionFailure("an option of the table without a case: \(given.name)")
    }
  }

  private static func family(_ given: GivenOption<Command>) throws(UsageError) -> IPAddress.Family {
    try given.choice(aliases: ["ipv4": "4", "ipv6": "6"]) == "4" ? .ipv4 : .ipv6
  }

  private static func transport(_ given: GivenOption<Command>) throws(UsageError) -> TransportProtocol {
    switch try given.choice() {
    case "udp": .udp
    case "tcp": .tcp
    case "tls": .tls
    default: .dtls
    }
  }

  private static func nameServer(_ given: GivenOption<Command>) throws(UsageError) -> SocketAddress {
    if let address = SocketAddress(given.text), address.port > 0 { return address }
    if let address = IPAddress(given.text) { return SocketAddress(address, port: 53) }
    throw UsageError("\(given.name) \(given.text): an address, with a port if it is not 53")
  }
}
