internal import NetIO
public import NetworkTypes

extension ConfigurationRules {
  /// Whether this host has IPv6.
  public static var hasIPv6: Bool { Interfaces.hasIPv6 }

  /// The source address of the default route; nil without a default route of the family.
  public static func sourceAddress(_ family: IPAddress.Family) -> IPAddress? { Interfaces.defaultRouteSource(family) }
}
