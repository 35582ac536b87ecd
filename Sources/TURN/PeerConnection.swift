internal import NetworkTypes
internal import STUN

/// A TCP connection between a relayed transport address and a peer: a peer data connection (RFC 6062 section 3).
struct PeerConnection: BitwiseCopyable {
  enum State: UInt8 {
    /// On its way to the peer, for a Connect request.
    case connecting
    /// Open, and waiting for the client's ConnectionBind.
    case unbound
    /// Piped to a connection of the client's.
    case bound
  }

  var allocation: UInt32
  /// The peer as the client names it.
  var peer: SocketAddress
  /// CONNECTION-ID; 0 until it is open.
  var identifier: UInt32 = 0
  var state: State
  /// When it is given up, unless it is bound.
  var expiresAt: Instant
  var timer: UInt32 = .max
  var previous: UInt32 = .max
  var next: UInt32 = .max
}

/// What a Connect request is answered with once its connection is there or is not.
struct ConnectRequest {
  var client: ClientPath
  var transactionID: TransactionID
  var principal: Principal
  var hasFingerprint: Bool
}
