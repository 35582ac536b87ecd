public import NetworkTypes

/// The scope within which an address can be reached (RFC 6890, RFC 4291 section 2.5). A wider scope is greater.
public enum AddressScope: Int, Hashable, Sendable, Comparable {
  /// No host has such an address: unspecified, multicast, broadcast, reserved, unassigned.
  case nowhere
  /// Loopback.
  case host
  /// Link-local.
  case link
  /// Private networks, carrier-grade NATs, and addresses for documentation and benchmarks.
  case site
  case global

  public static func < (a: AddressScope, b: AddressScope) -> Bool { a.rawValue < b.rawValue }

  /// A scope and its reason as text: "is private".
  public struct Judgement: Hashable, Sendable {
    public var scope: AddressScope
    /// A predicate: "is private", "is link-local".
    public var words: String
  }

  public init(_ address: IPAddress) { self = Self.judge(address).scope }

  /// Judges an address. An address with an embedded IPv4 address has that address's scope.
  public static func judge(_ address: IPAddress) -> Judgement {
    if address.isUnspecified { return Judgement(scope: .nowhere, words: "is the unspecified address") }
    if address == .ipv6Loopback { return Judgement(scope: .host, words: "is loopback") }
    if let inner = address.embeddedIPv4 ?? sixToFour(address) {
      let judgement = judge(inner)
      guard judgement.scope == .global else {
        return Judgement(scope: judgement.scope, words: "carries \(inner), which \(judgement.words)")
      }
      return judgement
    }
    // The longest prefix wins: 64:ff9b:1::/48 lies within an unassigned block.
    for row in table where row.block.contains(address) { return Judgement(scope: row.scope, words: row.words) }
    return Judgement(scope: .global, words: "is global")
  }

  /// The IPv4 address in 2002::/16 (RFC 3056).
  private static func sixToFour(_ address: IPAddress) -> IPAddress? {
    guard address.family == .ipv6, address.high >> 48 == 0x2002 else { return nil }
    return IPAddress(ipv4: UInt32(truncatingIfNeeded: address.high >> 16))
  }

  private struct Row {
    var block: CIDRBlock
    var scope: AddressScope
    var words: String
  }

  /// Rows in the order of the search: a longer prefix stands before the prefix that contains it.
  private static let table: [Row] = [
    ("255.255.255.255/32", .nowhere, "is the broadcast address"), ("0.0.0.0/8", .nowhere, "names no host"),
    ("127.0.0.0/8", .host, "is loopback"), ("169.254.0.0/16", .link, "is link-local"),
    ("10.0.0.0/8", .site, "is private"), ("172.16.0.0/12", .site, "is private"),
    ("192.168.0.0/16", .site, "is private"), ("100.64.0.0/10", .site, "is behind a carrier's NAT"),
    ("192.0.0.0/24", .site, "is for address translation"), ("192.0.2.0/24", .site, "is for documentation"),
    ("198.51.100.0/24", .site, "is for documentation"), ("203.0.113.0/24", .site, "is for documentation"),
    ("198.18.0.0/15", .site, "is for benchmarks"), ("224.0.0.0/4", .nowhere, "is multicast"),
    ("240.0.0.0/4", .nowhere, "is reserved"),
    ("fe80::/10", .link, "is link-local"), ("fec0::/10", .site, "is private"), ("fc00::/7", .site, "is private"),
    ("ff00::/8", .nowhere, "is multicast"), ("100::/64", .nowhere, "is discarded everywhere"),
    ("2001:db8::/32", .site, "is for documentation"), ("3fff::/20", .site, "is for documentation"),
    ("2001:2::/48", .site, "is for benchmarks"), ("64:ff9b:1::/48", .site, "is for address translation"),
    ("5f00::/16", .site, "is for segment routing"), ("2000::/3", .global, "is global"),
    ("::/0", .nowhere, "is unassigned"),
  ].compactMap { text, scope, words in
    CIDRBlock(text).map { Row(block: $0, scope: scope, words: words) }
  }
}
