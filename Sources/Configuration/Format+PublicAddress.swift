internal import NetworkTypes
internal import StringPreparation

extension Format where Value == PublicAddress {
  /// An address for clients, or a name that is looked up.
  static var publicAddress: Format {
    scalar(
      "an IP address or a host name", example: "203.0.113.5",
      parse: { text in
        if let address = IPAddress(text.unbracketed) { return address.isUnspecified ? nil : .address(address) }
        return text.isHostName ? .name(text) : nil
      },
      write: { .text($0.description) }
    ).reachable { if case .address(let address) = $0 { address } else { nil } }.refusingZones
  }
}

extension Format where Value == Advertise {
  /// `auto`, one public address or name, or a map from local addresses.
  static var advertise: Format {
    let single = Format<PublicAddress>.publicAddress
    let mapping = Format<[IPAddress: PublicAddress]>.map(.address, single)
    return Format(
      expectation: "auto, \(single.expectation), or \(mapping.expectation)", example: "auto",
      inlineYAML: mapping.inlineYAML,
      read: { raw, context in
        if let text = raw.scalarText, !text.isEmpty, !text.contains("=") {
          if text == "auto" { return .automatic }
          if let word = NearestWord.find(text, among: ["auto"]), !text.contains(".") {
            context.report(
              raw.origin, "\(text.quoted) is no address and no host name", suggestion: "did you mean \(word)?")
            return nil
          }
          return single.read(raw, &context).map { .everywhere($0) }
        }
        return mapping.read(raw, &context).map { .mapping($0) }
      },
      write: { value in
        switch value {
        case .automatic: .plain("auto")
        case .everywhere(let address): single.write(address)
        case .mapping(let addresses): mapping.write(addresses)
        }
      })
  }
}

extension Format where Value == AddressSource {
  /// `interface`, `cloud` or `stun:HOST[:PORT]`.
  static var addressSource: Format {
    scalar(
      "interface, cloud or stun:HOST[:PORT]", example: "stun:stun.example.org",
      nearest: { text in
        if text.contains("."), !text.contains("/"), !text.hasPrefix("stun:") { return "stun:\(text)" }
        return NearestWord.find(text, among: ["interface", "cloud"])
      },
      parse: { AddressSource($0) }, write: { .text($0.description) })
  }
}

extension AddressSource {
  init?(_ text: String) {
    switch text {
    case "interface": self = .interface
    case "cloud": self = .cloud
    default:
      guard text.hasPrefix("stun:") else { return nil }
      let server = text.dropFirst("stun:".count)
      if let address = IPAddress(String(server).unbracketed) {
        self = .stun(host: "\(address)", port: 3478)
      } else if let address = SocketAddress(server), address.port != 0 {
        self = .stun(host: "\(address.address)", port: address.port)
      } else {
        let parts = server.split(separator: ":", omittingEmptySubsequences: false)
        let port = parts.count == 2 ? UInt16(decimalDigits: parts[1]) : 3478
        guard (1...2).contains(parts.count), let port, port != 0, String(parts[0]).isHostName else { return nil }
        self = .stun(host: String(parts[0]), port: port)
      }
    }
  }
}
