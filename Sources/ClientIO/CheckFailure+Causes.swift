internal import NetIO
internal import STUN
internal import System

extension CheckFailure.Reason {
  /// The most likely cause.
  // Longer than 40 lines: a table with one entry for each reason.
  public var usualCause: String {
    switch self {
    case .unresolved: "the name is misspelled, or has no A or AAAA record"
    case .refused: "nothing listens there: is the server running, and on this port and transport?"
    case .unreachable: "there is no route from here, or a firewall on the way rejects the packets"
    case .timeout: "a firewall drops the packets, or the host is down"
    case .closed:
      "it did not accept what it received: is it a STUN server, and is plain or TLS right for this port?"
    case .system:
      "a problem of this machine, not of the server: the local address or port is in use or does not exist, or no "
        + "more files or memory are available"
    case .unsupported: "a mistake in this program: name the transport with --udp, --tcp, --tls or --dtls"
    case .notSTUN: "another service listens on this port"
    case .tlsName: "the server shows the certificate of another name: use a name that it is for"
    case .tlsExpired: "the certificate was not renewed, or the server still has the old one: reload it"
    case .tlsNotYetValid: "this machine's clock is behind, or the certificate was made for later"
    case .tlsUntrusted:
      "give the authority with --ca FILE, have the server send its whole chain, or skip the check: --insecure"
    case .tlsNotSpoken: "the port speaks plain TCP"
    case .tls: "client and server have no TLS version or cipher in common, or the stream is damaged"
    case .credentialsNeeded: "give --username and --password-file, or --secret-file"
    case .wrongCredentials: "wrong username or password"
    case .credentialExpired: "the credential is too old: get a new one, or set the clock"
    case .authentication: "several servers behind one address do not share their nonce key"
    case .integrity: "the server has another password for this user, or a device on the way changes the answers"
    case .malformed: "the server is old or faulty, or a device on the way changes its messages"
    case .redirect: "this server is full or moved: give the address that it names"
    case .badRequest: "the server, or a proxy before it, is old or lacks the feature"
    case .forbidden: "the server's rules forbid this user or this peer address"
    case .allocationMismatch: "an old allocation has the same addresses and ports: try again"
    case .family: "the server has no relay address of this family"
    case .quota: "this user has too many allocations: wait for old ones to end, or raise the quota"
    case .capacity: "the server has no free relay port, or is at one of its limits"
    case .serverError: "the server has an internal problem: see its log"
    case .refusedByServer: "the server refuses this request: see its log"
    case .echoLost: "a firewall between relay and peer, or relay ports that are not open"
    case .otherSource:
      "the server has several addresses and answers from the wrong one: give it a listener for each address"
    case .relayedAddress: "the server does not know its public address (turnpike: relay.advertise, coturn: external-ip)"
    case .mappedAddress: "a proxy, load balancer or container network before the server hides the clients' addresses"
    case .letThrough:
      "every user of the relay can reach what the server reaches: deny these peers in its configuration"
    }
  }
}

extension ResolutionError {
  var likelyCause: String {
    switch self {
    case .notFound: CheckFailure.Reason.unresolved.usualCause
    case .temporary:
      "no name server can be reached: check this machine's network and /etc/resolv.conf, or the --dns-server address"
    case .failed: "the name, or the DNS of this machine, is faulty: --trace shows the queries"
    }
  }
}

extension Errno {
  /// The likely cause on the path to the server.
  var causeOnTheWay: String {
    switch self {
    case .networkUnreachable:
      "this machine has no route to the address: its network is down, or does not have this family"
    case .addressNotAvailable: "this machine has no address from which the server could be reached"
    case .hostUnreachable: "a router reports that no host has this address: the host is down, or the address is wrong"
    case .notPermitted, .permissionDenied: "this machine's own firewall or routing rules forbid it"
    default: CheckFailure.Reason.unreachable.usualCause
    }
  }

  /// The likely cause on this machine.
  var causeHere: String {
    switch self {
    case .addressInUse: "another program has this local port: give another --localport"
    case .addressNotAvailable: "this machine does not have the address of --localaddr"
    case .permissionDenied, .notPermitted: "this user may not use it: local ports below 1024 need root"
    case .familyNotSupported: "this machine has no IPv6, or no IPv4"
    case .tooManyFiles: "this user may open no more files: raise \"ulimit -n\""
    case .noBuffers: "this machine has no memory for another socket or packet"
    default: CheckFailure.Reason.system.usualCause
    }
  }
}

extension ErrorCode {
  /// The likely cause of this error code; nil: the reason's usual cause. `isAboutPeer`: the request named a peer.
  func likelyCause(isAboutPeer: Bool) -> String? {
    switch self {
    case .badRequest: "the server supports STUN but not TURN, or is too old for the request"
    case .unknownAttribute: "the server does not know an attribute of the request: it is old, or has the feature off"
    case .unauthenticated: "the server does not know this user any more"
    case .forbidden:
      isAboutPeer
        ? "the server's rules forbid this peer address: most servers forbid loopback and private addresses"
        : "the server's rules forbid this user, or this client address"
    case .wrongCredentials: "the allocation belongs to another user"
    case .addressFamilyNotSupported: "the server has no relay address of this family: leave out --relay-family"
    case .peerAddressFamilyMismatch: "relay and peer are of different families: --relay-family 4 or 6"
    case .unsupportedTransportProtocol: "the server does not relay this transport"
    default: nil
    }
  }
}
