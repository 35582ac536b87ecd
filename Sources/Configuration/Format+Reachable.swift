internal import NetworkTypes

extension IPAddress {
  /// The reason why neither a client nor our sockets can use this address; nil if they can.
  var reasonAgainstIt: String? {
    let reason: String? =
      switch family {
      case .ipv4:
        ipv4Bits == .max ? "the broadcast address" : ipv4Bits >> 28 == 0xE ? "a multicast address" : nil
      case .ipv6:
        high >> 56 == 0xFF
          ? "a multicast address"
          : high >> 54 == 0xFE80 >> 6
            ? "a link-local address, which needs a zone, and zones are not supported" : nil
      }
    return reason.map { "\(self) is \($0)" }
  }
}

extension Format {
  /// The format with a specific error for an address that no client can use. `addresses` returns a value's address.
  func reachable(_ addresses: @escaping (Value) -> IPAddress?) -> Format {
    checked { value in
      addresses(value)?.reasonAgainstIt.map {
        ($0, "write an address of one host, for example 192.0.2.10 or 2001:db8::10")
      }
    }
  }

  /// The format with a specific error for an IPv6 address with a zone (`fe80::1%eth0`, RFC 4007 section 11).
  var refusingZones: Format {
    var copy = self
    copy.read = { raw, context in
      if let zone = raw.scalarText.flatMap(zoneOfAddress) {
        context.report(
          raw.origin, "zones (\(zone.quoted)) are not supported",
          suggestion: "write an address that needs none, for example 2001:db8::10")
        return nil
      }
      return read(raw, &context)
    }
    return copy
  }
}

/// The zone of an IPv6 address, alone, in brackets, in a URI or with a port or prefix: `%eth0`.
private func zoneOfAddress(_ text: String) -> String? {
  guard let percent = text.firstIndex(of: "%") else { return nil }
  var head = text[..<percent]
  if let scheme = head.firstRange(of: "://") { head = head[scheme.upperBound...] }
  if head.hasPrefix("[") { head = head.dropFirst() }
  guard let address = IPAddress(head), address.family == .ipv6 else { return nil }
  return String(text[percent...].prefix { !"]/?".contains($0) })
}
