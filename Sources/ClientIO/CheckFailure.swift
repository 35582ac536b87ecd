/// A failed check: a code for programs, a message, and its likely cause.
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
    /// An answer came from another address than the requested one.
    case otherSource = "other-source"
    /// Other hosts cannot reach the relayed or the mapped address.
    case relayedAddress = "relayed-address"
    case mappedAddress = "mapped-address"
    /// `security`: the server accepted something that it should refuse.
    case letThrough = "let-through"
  }

  public var reason: Reason
  /// The server, the request and the fault, as text for the user.
  public var message: String
  /// The likely cause as text; never empty.
  public var advice: String
  /// Whether the user interrupted the check before it had a result.
  public var isInterruption = false

  /// `advice`: a likely cause that is more precise than the reason's usual one.
  public init(_ reason: Reason, _ message: String, advice: String? = nil) {
    self.reason = reason
    self.message = message
    self.advice = advice ?? reason.usualCause
  }
}
