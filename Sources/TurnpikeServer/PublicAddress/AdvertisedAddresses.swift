public import Configuration
internal import NetIO
public import NetworkTypes

/// The advertised addresses, for commands without a running server.
public enum AdvertisedAddresses {
  /// The advertised relay addresses, by which clients also reach listeners on wildcard addresses. Searches as the
  /// server does if the configuration requires it, which takes seconds.
  ///
  /// - Returns: the addresses, and the reasons why some could not be found.
  public static func find(_ settings: Settings) -> (addresses: [IPAddress], problems: [String]) {
    let relays = Doctor.relays(of: settings)
    return (
      relays.map(\.advertised),
      relays.filter { $0.finding?.found == nil }.flatMap { $0.finding?.reasons ?? [] }
    )
  }
}
