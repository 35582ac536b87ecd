internal import ClientPrograms
internal import NetworkTypes

extension Arguments {
  /// Reads one option with its value.
  mutating func read(_ option: String, from reader: inout WordReader) throws(UsageError) {
    switch option {
    case "-4": family = .ipv4
    case "-6": family = .ipv6
    case "--family": family = try readFamily(option, &reader)
    case "--relay-family": relayFamily = try readFamily(option, &reader)
    case "--udp": transport = .udp
    case "--tcp": transport = .tcp
    case "--tls": transport = .tls
    case "--dtls": transport = .dtls
    case "--protocol": transport = try readProtocol(&reader)
    case "--localaddr": localAddress = try reader.value(of: option)
    case "--localport": localPort = UInt16(try reader.number(of: option, in: 0...65_535))
    case "--dns-server": nameServer = try readNameServer(&reader)
    case "--trace": isTraced = true
    case "--insecure": trust.isInsecure = true
    case "--ca": trust.authorities = try reader.value(of: option)
    case "--username": credentials.username = try reader.value(of: option)
    case "--password-file": credentials.passwordFile = try reader.value(of: option)
    case "--secret-file": credentials.secretFile = try reader.value(of: option)
    case "--oauth-token-file": credentials.tokenFile = try reader.value(of: option)
    case "--second-username": second.username = try reader.value(of: option)
    case "--second-password-file": second.passwordFile = try reader.value(of: option)
    case "--ice-servers": iceServers = try reader.value(of: option)
    case "--json": format = .json
    case "--ndjson": format = .ndjson
    case "--check": format = .check
    case "--prometheus": prometheus = try reader.value(of: option)
    case "--count": count = Int(try reader.number(of: option, in: 1...1_000_000_000))
    case "--interval": interval = UInt32(try reader.number(of: option, decimals: 3, in: 1...3_600_000))
    case "--timeout": timeout = UInt32(try reader.number(of: option, decimals: 3, in: 10...3_600_000))
    case "--warn-rtt": thresholds.roundTrip = try reader.number(of: option, decimals: 6, in: 0...1_000_000_000_000)
    case "--warn-loss": thresholds.loss = try reader.number(of: option, decimals: 1, in: 0...1000)
    case "--min-days": thresholds.days = Int64(try reader.number(of: option, in: 0...100_000))
    case "--lifetime": lifetime = UInt32(try reader.number(of: option, in: 2...7200))
    case "--ttl": timeToLive = try reader.number(of: option, in: 1...31_622_400)
    case "--i-own-this-server": isOwner = true
    // stuntman's; there is nothing to be more silent about.
    case "--verbosity": _ = try reader.number(of: option, in: 0...9)
    case "--mode":
      let text = try reader.value(of: option)
      guard let mode = Mode(rawValue: text.lowercased()) else {
        throw UsageError("--mode \(text): basic, behavior, filtering or full")
      }
      self.mode = mode
    default:
      let options = OptionTable.options.keys + ["--help", "--version"]
      throw UsageError("unknown option \(option)\(NearestName.question(option, among: options))")
    }
    try reader.finish(option)
  }

  private func readFamily(_ option: String, _ reader: inout WordReader) throws(UsageError) -> IPAddress.Family {
    switch try reader.value(of: option) {
    case "4", "ipv4": return .ipv4
    case "6", "ipv6": return .ipv6
    case let other: throw UsageError("\(option) \(other): 4 or 6")
    }
  }

  private func readProtocol(_ reader: inout WordReader) throws(UsageError) -> TransportProtocol {
    // As stuntman's client has it, in letters of either case.
    switch try reader.value(of: "--protocol").lowercased() {
    case "udp": return .udp
    case "tcp": return .tcp
    case "tls": return .tls
    case "dtls": return .dtls
    case let other: throw UsageError("--protocol \(other): udp, tcp, tls or dtls")
    }
  }

  private func readNameServer(_ reader: inout WordReader) throws(UsageError) -> SocketAddress {
    let text = try reader.value(of: "--dns-server")
    if let address = SocketAddress(text), address.port > 0 { return address }
    if let address = IPAddress(text) { return SocketAddress(address, port: 53) }
    throw UsageError("--dns-server \(text): an address, with a port if it is not 53")
  }
}
