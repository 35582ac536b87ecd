internal import NetworkTypes
internal import STUN

/// The reason why a request of a known user is refused. Handlers throw it; only `Relay.refuse` writes the answer, the
/// event and the notice of a limit.
enum Refusal: Error {
  /// An error code with its recommended reason phrase.
  case code(ErrorCode)
  /// 400 with a phrase that names the fault.
  case badRequest(BadRequest)
  /// 400 about an attribute of a wrong length or form.
  case malformed(AttributeType)
  /// 403 because the time-limited name has expired.
  case expired
  /// 508 because of a limit, which makes a notice.
  case limit(RelayLimit)
  /// 403 because of the peer rules, with an event. Port 0 for a permission.
  case peer(PeerAddress)
  /// 300 with another server.
  case redirect(SocketAddress)
  /// No answer.
  case drop(DropCause)
}

/// The fault of a known user's request: the reason phrase of its 400 (RFC 8489 section 14.8), at most 60 bytes.
enum BadRequest: String, CaseIterable {
  case noTransport = "REQUESTED-TRANSPORT is missing"
  case noStream = "TCP relaying needs a client over TCP or TLS"
  case datagramsOnly = "DONT-FRAGMENT, EVEN-PORT and tokens are for UDP relaying"
  case reservedPort = "RESERVATION-TOKEN excludes EVEN-PORT and address families"
  case twoFamilies = "REQUESTED- and ADDITIONAL-ADDRESS-FAMILY exclude each other"
  case pairOfTwoFamilies = "EVEN-PORT that reserves a port excludes a second family"
  case additionalIPv4 = "ADDITIONAL-ADDRESS-FAMILY can only be IPv6"
  case ticketBeforeAllocation = "MOBILITY-TICKET of Allocate must be empty"
  case foreignTicket = "MOBILITY-TICKET is not of this server"
  case usedTicket = "MOBILITY-TICKET has been replaced by a newer one"
  case nothingToMove = "The allocation is on this five-tuple already"
  case noPeer = "XOR-PEER-ADDRESS is missing"
  case portZero = "The peer's port is 0"
  case noChannel = "CHANNEL-NUMBER is missing"
  case channelRange = "Channel number outside 0x4000-0x4FFF"
  case oldChannelRange = "Channel number outside 0x4000-0x7FFF"
  case channelTaken = "The channel has another peer"
  case peerTaken = "The peer has another channel"
  case streamAllocation = "A TCP allocation has no channels"
  case datagramAllocation = "Connect needs a TCP allocation"
  case bindOverDatagrams = "ConnectionBind needs a connection over TCP or TLS"
  case bindOnControl = "ConnectionBind needs a connection without an allocation"
  case noConnectionID = "CONNECTION-ID is missing"
  case unknownConnection = "CONNECTION-ID is not of a connection that waits"

  /// The phrase about an attribute of a wrong length or form.
  static func malformed(_ attribute: AttributeType) -> String {
    "\(attribute.name ?? "An attribute") has the wrong length or form"
  }
}

extension Relay {
  /// Writes the answer to a request that a handler has refused, signed with the user's key.
  mutating func refuse(_ request: borrowing Request, _ refusal: Refusal) -> Disposition {
    switch refusal {
    case .code(let code): return error(code, to: request)
    case .badRequest(let fault): return error(.badRequest, reason: fault.rawValue, to: request)
    case .malformed(let attribute): return error(.badRequest, reason: BadRequest.malformed(attribute), to: request)
    case .expired: return error(.forbidden, reason: Self.expiredName, to: request)
    case .limit(let limit):
      recordLimit(limit, request.client, now: request.now)
      return error(.insufficientCapacity, to: request)
    case .peer(let peer):
      reportRefusedPeer(peer, to: request)
      return error(.forbidden, to: request)
    case .redirect(let server): return redirect(request, to: server)
    case .drop(let cause): return .drop(cause)
    }
  }

  /// The reason phrase of the 403 to a client whose time-limited name has expired. After a 401 the client would try
  /// again.
  private static let expiredName = "The credential has expired"

  /// Writes an error response to a known user.
  ///
  /// - Parameter reason: the reason phrase; nil: the recommended one. With anonymous access every client is
  ///   unauthenticated and gets the short phrase.
  private mutating func error(
    _ code: ErrorCode, reason: String? = nil, to request: borrowing Request
  ) -> Disposition {
    beginError(code, reason: request.principal.key == nil ? nil : reason, request.message)
    commands.append(.event(.requestRefused(code: code.rawValue, user: request.principal.username)))
    return finish(by: request.principal, fingerprint: request.message.has(.fingerprint))
  }
}
