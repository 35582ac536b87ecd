internal import NetworkTypes

extension Settings.RelaySection {
  /// Limit of the sources of `relay.detect`: each may take seconds.
  private static let sourceLimit = 8

  /// The problems of `relay.advertise` and `relay.detect`.
  var advertiseProblems: [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    if case .mapping(let addresses) = advertise {
      for (local, advertised) in addresses.sorted(by: { $0.key < $1.key }) {
        guard case .address(let address) = advertised, address.family != local.family else { continue }
        problems.append(
          ConfigurationProblem(
            key: "relay.advertise", "\(local) and \(address) are not of one family",
            suggestion: "name an \(local.family == .ipv4 ? "IPv4" : "IPv6") address for \(local)"))
      }
    }
    if detect.count > Self.sourceLimit {
      problems.append(
        ConfigurationProblem(
          key: "relay.detect", "\(detect.count) sources; the limit is \(Self.sourceLimit)",
          suggestion: "leave some out"))
    }
    if !detect.isEmpty, advertise != .automatic {
      problems.append(
        ConfigurationProblem(
          .warning, key: "relay.detect", "has no effect without relay.advertise: auto",
          suggestion: "set relay.advertise: auto, or leave it out"))
    }
    return problems
  }
}
