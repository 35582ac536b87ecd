internal import NetworkTypes
internal import STUN
internal import TURNClient

extension CheckFailure {
  /// What a failed request means. `what` names it: "Allocate".
  init(_ failure: RequestFailure, _ what: String, _ target: ServerTarget, hasSecret: Bool = false, within: String = "")
  {
    let place = "\(what) at \(target.address) over \(target.transport.label)"
    switch failure {
    case .timeout(let transmissions, let discarded):
      self.init(place, transmissions, discarded, target.transport, within)
    case .refused(let code, let phrase, let alternate, let isAuthenticated):
      self.init(code, phrase, "\(place)\(isAuthenticated ? "" : " (unsigned)")", alternate)
    case .wrongCredentials(let isNonceSame):
      let cause = hasSecret ? "another secret, or this machine's clock is wrong" : "wrong username or password"
      self.init(
        .wrongCredentials, "\(place): 401 twice with \(isNonceSame ? "the same nonce" : "a new nonce each time")",
        advice: isNonceSame ? cause : "\(cause); or several servers behind one address do not share their nonce key")
    case .credentialsNeeded(let realm):
      self.init(
        .credentialsNeeded, "\(place): the server asks for credentials (realm \"\(realm)\")",
        advice: "give --username and --password-file, or --secret-file")
    case .nonceNeverFresh:
      self.init(
        .authentication, "\(place): 438 Stale Nonce again and again",
        advice: "several servers behind one address do not share their nonce key")
    case .authenticationUnsupported(let complaint):
      self.init(.authentication, "\(place): \(complaint)")
    case .integrityViolated:
      self.init(
        .integrity, "\(place): the answer is not signed with our password",
        advice: "something between changes the answers, or the server derives the key differently")
    case .malformed(let complaint):
      self.init(.malformed, "\(place): \(complaint)", advice: "the server breaks the protocol")
    }
  }

  private init(
    _ place: String, _ transmissions: Int, _ discarded: Discarded?, _ transport: TransportProtocol, _ within: String
  ) {
    let requests = transmissions == 1 ? "1 request" : "\(transmissions) requests"
    switch discarded {
    case nil:
      self.init(
        .timeout, "\(place): no answer to \(requests)\(within)", advice: Self.silenceAdvice(transport))
    case .notSTUN?:
      self.init(.notSTUN, "\(place): what comes back is no STUN", advice: "another service listens on this port")
    case .wrongFingerprint?:
      self.init(.malformed, "\(place): the answers' FINGERPRINT is wrong", advice: "something between changes them")
    case .wrongIntegrity?:
      self.init(.integrity, "\(place): the answers' signature is missing or wrong")
    case .unknownTransaction?, .unexpected?, .malformed?:
      self.init(.timeout, "\(place): no answer to \(requests)\(within), though other messages came")
    }
  }

  private init(_ code: ErrorCode, _ phrase: String, _ place: String, _ alternate: SocketAddress?) {
    let text = "\(place): \(code.rawValue) \(phrase)"
    switch code {
    case .tryAlternate:
      self.init(.redirect, text, advice: alternate.map { "the server sends clients to \($0)" } ?? "to no address")
    case .badRequest, .unknownAttribute: self.init(.badRequest, text, advice: "the server does not like the request")
    case .unauthenticated: self.init(.wrongCredentials, text)
    case .forbidden:
      self.init(.forbidden, text, advice: "the server's rules forbid this user or this peer address")
    case .allocationMismatch:
      self.init(.allocationMismatch, text, advice: "an old allocation has the same addresses and ports: try again")
    case .wrongCredentials: self.init(.wrongCredentials, text, advice: "the allocation belongs to another user")
    case .addressFamilyNotSupported, .peerAddressFamilyMismatch:
      self.init(.family, text, advice: "the server has no relay address of this family")
    case .allocationQuotaReached:
      self.init(
        .quota, text, advice: "this user has too many allocations: wait for old ones to end, or raise the quota")
    case .insufficientCapacity:
      self.init(.capacity, text, advice: "the server has no free relay port, or is at one of its limits")
    case .serverError: self.init(.serverError, text, advice: "the server's own trouble: see its log")
    default: self.init(.refusedByServer, text)
    }
  }
}
