internal import NetworkTypes

extension Arguments {
  /// Reads one option with its value. True where nothing else matters any more (`--help`).
  mutating func read(_ option: String, from reader: inout WordReader) throws(UsageError) -> Bool {
    switch option {
    case "-4": family = .ipv4
    case "-6": family = .ipv6
    case "--udp": transport = .udp
    case "--tcp": transport = .tcp
    case "--tls": transport = .tls
    case "--dtls": transport = .dtls
    case "--insecure": isInsecure = true
    case "--json": format = .json
    case "--check": format = .check
    case "--username": username = try reader.value(of: option)
    case "--password-file": passwordFile = try reader.value(of: option)
    case "--secret-file": secretFile = try reader.value(of: option)
    case "--ca": authorities = try reader.value(of: option)
    case "--count": count = Int(try number(option, &reader, decimals: 0, in: 1...1_000_000))
    case "--interval": interval = UInt32(try number(option, &reader, decimals: 3, in: 1...3_600_000))
    case "--timeout": timeout = UInt32(try number(option, &reader, decimals: 3, in: 10...3_600_000))
    case "--warn-rtt": thresholds.roundTrip = try number(option, &reader, decimals: 6, in: 0...1_000_000_000_000)
    case "--warn-loss": thresholds.loss = try number(option, &reader, decimals: 1, in: 0...1000)
    case "--min-days": thresholds.days = Int64(try number(option, &reader, decimals: 0, in: 0...100_000))
    case "--relay-family":
      switch try reader.value(of: option) {
      case "4", "ipv4": relayFamily = .ipv4
      case "6", "ipv6": relayFamily = .ipv6
      case let other: throw UsageError("--relay-family \(other): 4 or 6")
      }
    case "--help", "-h":
      command = .help
      return true
    case "--version":
      command = .version
      return true
    default: throw UsageError("unknown option \(option)")
    }
    try reader.finish(option)
    return false
  }

  /// A decimal number in units of 10^-decimals.
  private func number(
    _ option: String, _ reader: inout WordReader, decimals: Int, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    let text = try reader.value(of: option)
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? String(parts[1]) : ""
    let digits = parts[0] + fraction + String(repeating: "0", count: max(decimals - fraction.utf8.count, 0))
    guard parts[0].utf8.count > 0, parts.count == 1 || !fraction.isEmpty, fraction.utf8.count <= decimals,
      let value = UInt64(decimalDigits: digits), range.contains(value)
    else {
      throw UsageError(
        "\(option) \(text): a number from \(Decimal.text(range.lowerBound, decimals)) to "
          + Decimal.text(range.upperBound, decimals))
    }
    return value
  }
}
