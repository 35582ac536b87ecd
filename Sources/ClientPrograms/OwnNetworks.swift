public import NetworkTypes

/// Addresses that nobody but ourselves can have: what may be loaded or attacked without the user's word that the
/// server is theirs.
public enum OwnNetworks {
  private static let blocks = [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7",
    "fe80::/10",
  ].compactMap { CIDRBlock($0) }

  public static func contain(_ address: IPAddress) -> Bool { blocks.contains { $0.contains(address) } }

  /// Refuses an address that is not ours unless the user says that the server is.
  public static func demand(_ address: IPAddress, isOwner: Bool) throws(UsageError) {
    guard isOwner || contain(address) else {
      throw UsageError("\(address) is neither a loopback nor a private address: say --i-own-this-server if you do")
    }
  }
}
