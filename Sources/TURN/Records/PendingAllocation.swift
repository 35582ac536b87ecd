internal import NetworkTypes
internal import STUN
internal import Tables

/// An allocation that waits for the ledger and the kernel, with the data for its answer.
struct PendingAllocation {
  var principal: Principal
  var lifetime: Duration
  /// The families whose relayed addresses are not open yet, in order: two for a dual allocation.
  var families: [IPAddress.Family]
  /// Relay ports that are open and wait for the other family's port.
  var opened: [Handle<RelayPort>] = []
  /// The family of a dual allocation that was refused, and the error code (RFC 8656 section 7.2, step 9).
  var addressError: (family: IPAddress.Family, code: ErrorCode)?
  var parity: PortPicker.Parity
  var transport = RelayTransport.udp
  /// The port of a reservation token, until its socket is requested.
  var reserved: RelayedAddress?
  /// Whether the request has a reservation token: no other port is tried.
  var usesReservation = false
  var hasFingerprint: Bool
  /// Whether the client may move (RFC 8016).
  var wantsTicket = false
  /// An upper bound of the client's round trip; nil if it is unknown.
  var roundTripMicroseconds: UInt32?
  /// Whether the ledger has admitted it.
  var isAdmitted = false
  /// The number of tried ports of the current family that belong to another process.
  var attempts = 0

  /// The owner of its ports, which may reuse them during the quarantine.
  func owner(at client: ClientPath) -> PortOwner { PortOwner(username: principal.quotaName, client: client) }
}

/// The ledger's answer to a new allocation.
public enum Admission: Sendable {
  case granted
  /// The quota of the user or the address is reached: 486.
  case quotaReached
  /// The limit of the server is reached: 508.
  case noCapacity
}
