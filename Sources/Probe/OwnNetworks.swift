public import CommandLine
public import NetworkTypes

/// Loopback and private addresses: load and attacks on servers there need no `--i-own-this-server`.
public enum OwnNetworks {
  private static let blocks = [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7",
    "fe80::/10",
  ].compactMap { CIDRBlock($0) }

  /// Whether the address needs no `--i-own-this-server`.
  public static func contain(_ address: IPAddress) -> Bool { blocks.contains { $0.contains(address) } }

  /// Refuses any other address unless the user gave `--i-own-this-server`.
  public static func demand(_ address: IPAddress, isOwner: Bool) throws(UsageError) {
    guard isOwner || contain(address) else {
      throw UsageError(
        "\(address) is neither a loopback nor a private address: give --i-own-this-server if it is yours")
    }
  }
}
