/// Why a check failed: a code for programs, what happened, and its likely cause in words.
public struct CheckFailure: Error, Hashable, Sendable {
  /// Stable: scripts compare these.
  public enum Reason: String, Hashable, Sendable, CaseIterable {
    case unresolved, refused, unreachable, timeout, closed, system, unsupported
    case notSTUN = "not-stun"
    case tlsName = "tls-name"
    case tlsExpired = "tls-expired"
    case tlsNotYetValid = "tls-not-yet-valid"
    case tlsUntrusted = "tls-untrusted"
    case tlsNotSpoken = "tls-not-spoken"
    case tls
    case credentialsNeeded = "credentials-needed"
    case wrongCredentials = "wrong-credentials"
    case credentialExpired = "credential-expired"
    case authentication
    case integrity
    case malformed
    case redirect
    case badRequest = "bad-request"
    case forbidden
    case allocationMismatch = "allocation-mismatch"
    case family = "address-family"
    case quota
    case capacity
    case serverError = "server-error"
    case refusedByServer = "refused-by-server"
    case echoLost = "echo-lost"
    /// `security`: something that should be refused.
    case letThrough = "let-through"
  }

  public var reason: Reason
  public var message: String
  /// One likely cause in words; never empty.
  public var advice: String
  /// Whether somebody wanted no more before anything could be known.
  public var isInterruption = false

  /// `advice`: what is known beyond the reason's usual cause.
  public init(_ reason: Reason, _ message: String, advice: String? = nil) {
    self.reason = reason
    self.message = message
    self.advice = advice ?? reason.usualCause
  }
}
