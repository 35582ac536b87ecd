internal import NetworkTypes
internal import STUN
internal import TURNClient

extension RequestFailure {
  /// What happened, and what is behind it where that is known.
  var words: String { event + (likelyCause.map { ": \($0)" } ?? "") }

  /// What happened.
  var event: String {
    switch self {
    case .timeout(let transmissions, _): "no answer to \(transmissions) requests"
    case .refused(let code, let phrase, _, _): "\(code.rawValue) \(Self.plain(phrase))"
    case .wrongCredentials: "401 twice"
    case .credentialsNeeded(let realm): "the server asks for credentials (realm \"\(Self.plain(realm))\")"
    case .nonceNeverFresh: "438 Stale Nonce again and again"
    case .authenticationUnsupported(let complaint), .malformed(let complaint): Self.plain(complaint)
    case .integrityViolated: "the answer is not signed with our password"
    }
  }

  /// What is behind it, or what to do about it; nil where that is not known.
  var likelyCause: String? {
    switch self {
    case .refused(.forbidden, _, _, _):
      "the server forbids this peer; for this load, allow the address of this machine (turnpike: peers.allow)"
    case .refused(.allocationQuotaReached, _, _, _):
      "more allocations than one user may have: raise the quota, or use fewer --allocations"
    case .refused(.insufficientCapacity, _, _, _): "no free relay port, or one of the server's limits is reached"
    case .wrongCredentials: "wrong username or password, another secret, or a clock that is wrong"
    case .credentialsNeeded: "there are none: --username and --password-file, or --secret-file"
    default: nil
    }
  }

  /// Control characters of what a server sent must not reach a terminal.
  private static func plain(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      result.append(scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : scalar)
    }
    return String(result)
  }
}

extension ClientAllocation.Operation {
  /// The request's name in the RFC.
  var words: String {
    switch self {
    case .allocate: "Allocate"
    case .createPermission: "CreatePermission"
    case .channelBind: "ChannelBind"
    case .refresh: "Refresh"
    case .delete: "Refresh with lifetime 0"
    }
  }
}
