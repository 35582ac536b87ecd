public import NetworkTypes
public import STUN

/// Why a request came to nothing.
public enum RequestFailure: Error, Hashable, Sendable {
  /// No answer that could be believed. `discarded`: why the last of those that came was not.
  case timeout(transmissions: Int, discarded: Discarded?)
  /// An error response. Not authenticated where a signature was due: the server's, most likely, but a proxy's or a
  /// liar's is possible.
  case refused(ErrorCode, phrase: String, alternateServer: SocketAddress?, isAuthenticated: Bool)
  /// 401 although credentials were sent. The same nonce twice: wrong username or password.
  case wrongCredentials(isNonceSame: Bool)
  /// 401, and there are no credentials to answer with.
  case credentialsNeeded(realm: String)
  /// 438 again and again.
  case nonceNeverFresh
  /// The server asks for a password algorithm that is not known here, or contradicts itself.
  case authenticationUnsupported(String)
  /// Over a stream: the response's integrity is missing or wrong.
  case integrityViolated
  /// A success response without what it must have.
  case malformed(String)
}

/// Why an answer, or a datagram that might have been one, was not believed.
public enum Discarded: Hashable, Sendable {
  /// Bytes that are no STUN message or ChannelData.
  case notSTUN
  case wrongFingerprint
  /// No request of ours has its transaction.
  case unknownTransaction
  /// MESSAGE-INTEGRITY is missing or wrong.
  case wrongIntegrity
  /// ChannelData on a channel that is not bound, or an indication that no client gets.
  case unexpected
  case malformed
}
