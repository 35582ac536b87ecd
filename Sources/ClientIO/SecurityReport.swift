internal import NetworkTypes

/// The results of the security checks of one server.
public struct SecurityReport: Sendable {
  /// The result of one check.
  public enum Verdict: String, Hashable, Sendable {
    case refused
    case letThrough = "let-through"
    /// The check could not be made, or the answer (or silence) proves nothing about the rule.
    case unknown
    /// The check does not apply to this server, which has nothing to refuse.
    case notApplicable = "not-applicable"
  }

  /// One check with its result.
  public struct Finding: Hashable, Sendable {
    /// Stable: `peer`, `own-listener`, `anonymous`, `wrong-password`, `replay`, `unsigned-refresh`,
    /// `behind-signature`, `amplification`, `response-address`, `padding`, `tcp-peer`, `other-protocol`,
    /// `other-user`.
    public var check: String
    /// The object of the check: an address, or a few words.
    public var subject: String
    public var verdict: Verdict
    /// The server's answer, or the reason of the verdict.
    public var detail: String

    public init(_ check: String, _ subject: String, _ verdict: Verdict, _ detail: String) {
      self.check = check
      self.subject = subject
      self.verdict = verdict
      self.detail = detail
    }
  }

  public var target: ServerTarget
  public var findings: [Finding] = []
  /// The reason why the checks could not be made.
  public var failure: CheckFailure?

  public var unknown: [Finding] { findings.filter { $0.verdict == .unknown } }
  public var letThrough: [Finding] { findings.filter { $0.verdict == .letThrough } }

  /// The failure of the checks themselves; else a failure if the server let something through; else nil.
  public var verdict: CheckFailure? {
    if let failure { return failure }
    guard let first = letThrough.first else { return nil }
    let more = letThrough.count == 1 ? "" : ", and \(letThrough.count - 1) more"
    return CheckFailure(
      .letThrough, "\(target.address) lets through what it should refuse: \(first.check) \(first.subject)\(more)",
      advice: Self.cause(first))
  }

  /// Nil: the reason's usual cause, which is about peers.
  private static func cause(_ finding: Finding) -> String? {
    switch finding.check {
    case "peer", "own-listener", "tcp-peer": nil
    case "anonymous": "authentication is off: every stranger may relay through it"
    default: "an old or faulty server (\(finding.detail)): update it"
    }
  }

  init(target: ServerTarget) { self.target = target }
}
