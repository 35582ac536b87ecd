public import NetworkTypes

/// An address to which a relay should not send, and its description (RFC 6890; RFC 8656 section 21.4).
public struct ForbiddenPeer: Hashable, Sendable {
  public var address: IPAddress
  public var what: String

  private static let table: [(String, String)] = [
    ("127.0.0.1", "loopback"), ("127.1.2.3", "loopback"), ("0.0.0.0", "this host"), ("0.1.2.3", "this network"),
    ("10.0.0.1", "private network"), ("172.16.0.1", "private network"), ("192.168.0.1", "private network"),
    ("100.64.0.1", "shared address space"), ("169.254.169.254", "metadata service"),
    ("169.254.0.1", "link-local"), ("192.0.0.1", "protocol assignments"), ("198.18.0.1", "benchmarking"),
    ("224.0.0.1", "multicast"), ("239.255.255.250", "multicast"), ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "this host"), ("::1", "loopback"), ("fe80::1", "link-local"), ("fc00::1", "private network"),
    ("fd00:ec2::254", "metadata service"), ("ff02::1", "multicast"), ("::ffff:127.0.0.1", "loopback, IPv4-mapped"),
    ("::ffff:0.0.0.0", "this host, IPv4-mapped"), ("::ffff:10.0.0.1", "private network, IPv4-mapped"),
    ("::ffff:169.254.169.254", "metadata service, IPv4-mapped"), ("::127.0.0.1", "loopback, IPv4-compatible"),
    ("::ffff:0:127.0.0.1", "loopback, IPv4-translated"), ("64:ff9b::7f00:1", "loopback, NAT64"),
    ("64:ff9b::a9fe:a9fe", "metadata service, NAT64"), ("64:ff9b:1::7f00:1", "loopback, local NAT64"),
    ("2002:7f00:1::1", "loopback, 6to4"), ("2002:c0a8:1::1", "private network, 6to4"), ("2001::1", "Teredo"),
    ("fe80::5efe:7f00:1", "loopback, ISATAP"),
  ]

  /// All addresses of one family.
  public static func all(_ family: IPAddress.Family) -> [ForbiddenPeer] {
    table.compactMap { text, what in
      guard let address = IPAddress(text), address.family == family else { return nil }
      return ForbiddenPeer(address: address, what: what)
    }
  }
}
