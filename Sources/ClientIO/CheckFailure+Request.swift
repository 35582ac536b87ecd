internal import Crypto
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURNClient

extension CheckFailure {
  /// The failure for a failed request. `what` names the request: "Allocate". `isAboutPeer`: the request names a peer,
  /// which may be the reason for the refusal.
  init(
    _ failure: RequestFailure, _ what: String, _ target: ServerTarget, _ options: CheckOptions,
    isAboutPeer: Bool = false
  ) {
    let attempt = "\(what) at \(target.address) over \(target.transport.label)"
    switch failure {
    case .timeout(let transmissions, let discarded):
      self.init(attempt, transmissions, discarded, target.transport, options.within)
    case .refused(let code, let phrase, let alternate, let isAuthenticated):
      self.init(code, phrase, "\(attempt)\(isAuthenticated ? "" : " (unsigned)")", alternate, isAboutPeer)
      if code == .badRequest, !isAuthenticated, !isAboutPeer, options.credential != nil {
        // RFC 8489 section 9.2.4 requires 401 for wrong credentials; pion's library sends 400.
        advice = "a malformed request, or a wrong username or password: pion's library answers both with 400"
      }
    case .wrongCredentials(let isNonceSame):
      self.init(wrongCredentialsIn: attempt, options, isNonceSame)
    case .credentialsNeeded(let realm):
      self.init(
        .credentialsNeeded, "\(attempt): the server asks for credentials (realm \"\(realm)\")")
    case .nonceNeverFresh: self.init(.authentication, "\(attempt): the server calls every nonce stale (438)")
    case .authenticationUnsupported(let complaint):
      self.init(
        .authentication, "\(attempt): \(complaint)",
        advice: "the server's answers contradict RFC 8489, or a device on the way removes attributes")
    case .integrityViolated:
      self.init(
        .integrity, "\(attempt): the answer is not signed with our password",
        advice: "a device on the way changes the answers, or the server derives the key differently")
    case .answeredFrom(let source):
      self.init(
        .otherSource, "\(attempt): no answer from there, but one came from \(source)",
        advice: Self.advice(source, target))
    case .malformed(let complaint): self.init(.malformed, "\(attempt): \(complaint)")
    }
  }

  private init(wrongCredentialsIn attempt: String, _ options: CheckOptions, _ isNonceSame: Bool) {
    let token = options.credential?.accessToken != nil
    let text = "\(attempt): the server rejected the \(token ? "access token" : "user name or password") (401)"
    if let age = options.timeSinceExpiry {
      self.init(
        .credentialExpired, text,
        advice:
          "the credential ended \(age.wholeSeconds) s ago by this machine's clock: get a new one, or set the clock")
      return
    }
    let cause = options.likelyWrong
    self.init(
      .wrongCredentials, text,
      advice: isNonceSame ? cause : "\(cause); or several servers behind one address do not share their nonce key")
  }

  private init(
    _ attempt: String, _ transmissions: Int, _ discarded: Discarded?, _ transport: TransportProtocol, _ within: String
  ) {
    let requests = transmissions == 1 ? "1 request" : "1 request, sent \(transmissions) times"
    switch discarded {
    case nil:
      self.init(
        .timeout, "\(attempt): no answer to \(requests)\(within)", advice: Self.silenceAdvice(transport))
    case .notSTUN?:
      self.init(.notSTUN, "\(attempt): the answer is not STUN")
    case .wrongFingerprint?:
      self.init(
        .malformed, "\(attempt): the answers' FINGERPRINT is wrong", advice: "a device on the way changes the answers")
    case .wrongIntegrity?: self.init(.integrity, "\(attempt): the answers' signature is missing or wrong")
    case .unknownTransaction?, .unexpected?, .malformed?:
      self.init(
        .timeout, "\(attempt): no answer to \(requests)\(within), though other messages came",
        advice: "answers to earlier requests came too late: a slow path, or a larger --timeout is needed")
    }
  }

  private init(
    _ code: ErrorCode, _ phrase: String, _ attempt: String, _ alternate: SocketAddress?, _ isAboutPeer: Bool
  ) {
    let text =
      "\(attempt): \(code.words(isAboutPeer: isAboutPeer)) (\(code.rawValue)\(phrase.isEmpty ? "" : " \(phrase)"))"
    let cause = code.likelyCause(isAboutPeer: isAboutPeer)
    switch code {
    case .tryAlternate:
      self.init(
        .redirect, text,
        advice: alternate.map { "the server sends clients to \($0)" }
          ?? "the server sends clients away and names no address: its redirection is not set up")
    case .badRequest, .unknownAttribute: self.init(.badRequest, text, advice: cause)
    case .unauthenticated, .wrongCredentials: self.init(.wrongCredentials, text, advice: cause)
    case .forbidden: self.init(.forbidden, text, advice: cause)
    case .allocationMismatch: self.init(.allocationMismatch, text)
    case .addressFamilyNotSupported, .peerAddressFamilyMismatch: self.init(.family, text, advice: cause)
    case .allocationQuotaReached: self.init(.quota, text)
    case .insufficientCapacity: self.init(.capacity, text)
    case .serverError: self.init(.serverError, text)
    default: self.init(.refusedByServer, text, advice: cause)
    }
  }
}

extension CheckOptions {
  /// The time since a time-limited credential expired; nil if it is still valid, or is not time-limited.
  fileprivate var timeSinceExpiry: Duration? {
    guard let credential, credential.accessToken == nil,
      let expiry = TimeLimitedCredential.expiry(ofUsername: credential.username), expiry > Self.earliestExpiry
    else { return nil }
    let now = Now.read().wall
    return expiry < now ? now.duration(since: expiry) : nil
  }

  /// Only a later time (from September 2001 on) counts as an expiry: a smaller number may be an ordinary name.
  private static let earliestExpiry = UnixTime(seconds: 1_000_000_000)

  fileprivate var likelyWrong: String {
    if credential?.accessToken != nil {
      return "the token has expired, its kid is not among the server's keys, or the clocks differ"
    }
    return hasSecret ? "wrong shared secret, or this machine's clock is wrong" : "wrong username or password"
  }
}
