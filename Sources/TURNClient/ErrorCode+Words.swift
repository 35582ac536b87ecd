public import STUN

extension ErrorCode {
  /// The meaning of the error code. `isAboutPeer`: the request named a peer.
  public func words(isAboutPeer: Bool = false) -> String {
    switch self {
    case .tryAlternate: "the server sends clients to another server"
    case .badRequest: "the server does not understand the request"
    case .unauthenticated: "the server rejected the user name or password"
    case .forbidden: isAboutPeer ? "the server does not relay to this address" : "the server forbids it"
    case .mobilityForbidden: "the server does not support mobility"
    case .unknownAttribute: "the server does not know an attribute of the request"
    case .allocationMismatch: "the server has another allocation, or none, for our address"
    case .staleNonce: "the server calls the nonce stale"
    case .addressFamilyNotSupported: "the server has no relay address of this family"
    case .wrongCredentials: "the allocation is another user's"
    case .unsupportedTransportProtocol: "the server does not relay this transport"
    case .peerAddressFamilyMismatch: "relay and peer are of different families"
    case .connectionAlreadyExists: "there is a connection to this peer already"
    case .connectionTimeoutOrFailure: "the server could not connect to the peer"
    case .allocationQuotaReached: "this user has too many allocations"
    case .serverError: "the server has an internal error"
    case .insufficientCapacity: "the server has no room for another allocation"
    default: "the server refuses"
    }
  }
}
