internal import NetworkTypes
internal import STUN
internal import StringPreparation
internal import TURNClient

extension RequestFailure {
  /// The failure with its likely cause, if one is known.
  var words: String { event + (likelyCause.map { ": \($0)" } ?? "") }

  /// The failure without its cause.
  var event: String {
    switch self {
    case .timeout(let transmissions, _): "no answer to \(transmissions) requests"
    case .refused(let code, let phrase, _, _): "\(code.words()) (\(code.rawValue) \(phrase.withoutControls))"
    case .wrongCredentials: "the server rejected the user name or password (401)"
    case .answeredFrom(let source): "the answer came from \(source)"
    case .credentialsNeeded(let realm): "the server asks for credentials (realm \"\(realm.withoutControls)\")"
    case .nonceNeverFresh: "the server calls every nonce stale (438)"
    case .authenticationUnsupported(let complaint), .malformed(let complaint): complaint.withoutControls
    case .integrityViolated: "the answer is not signed with our password"
    }
  }

  /// The likely cause, or a remedy; nil if none is known.
  var likelyCause: String? {
    switch self {
    case .refused(.forbidden, _, _, _):
      "the server forbids this peer; for this load, allow the address of this machine (turnpike: peers.allow)"
    case .refused(.allocationQuotaReached, _, _, _):
      "more allocations than one user may have: raise the quota, or use fewer --allocations"
    case .refused(.insufficientCapacity, _, _, _): "no free relay port, or one of the server's limits is reached"
    case .wrongCredentials: "wrong username or password, another secret, or a clock that is wrong"
    case .credentialsNeeded: "no credentials were given: --username and --password-file, or --secret-file"
    default: nil
    }
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
