public import NetworkTypes
public import STUN

/// The reason why a request failed.
public enum RequestFailure: Error, Hashable, Sendable {
  /// No valid answer. `discarded`: the reason why the last received one was discarded.
  case timeout(transmissions: Int, discarded: Discarded?)
  /// An error response. If it is not authenticated although it should be signed, it may come from a proxy or an
  /// attacker.
  case refused(ErrorCode, phrase: String, alternateServer: SocketAddress?, isAuthenticated: Bool)
  /// 401 to a request with credentials. With the same nonce as in the request: wrong user name or password.
  case wrongCredentials(isNonceSame: Bool)
  /// 401 to a client without credentials.
  case credentialsNeeded(realm: String)
  /// Repeated 438.
  case nonceNeverFresh
  /// The server requires an unsupported password algorithm, or contradicts itself.
  case authenticationUnsupported(String)
  /// Over a stream: the response's integrity is missing or wrong.
  case integrityViolated
  /// The answer came from another address than the requested one.
  case answeredFrom(SocketAddress)
  /// A success response without a mandatory attribute.
  case malformed(String)
}

/// The reason why a datagram was discarded.
public enum Discarded: Hashable, Sendable {
  /// Bytes that are neither a STUN message nor ChannelData.
  case notSTUN
  case wrongFingerprint
  /// The transaction ID belongs to none of our requests.
  case unknownTransaction
  /// MESSAGE-INTEGRITY is missing or wrong.
  case wrongIntegrity
  /// ChannelData on an unbound channel, or an indication that clients never receive.
  case unexpected
  case malformed
}
