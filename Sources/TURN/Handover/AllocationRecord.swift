internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// An allocation in a handover to another process, with its ports, permissions, channels and peer connections.
struct AllocationRecord {
  var handle = Handle<Allocation>(index: 0, generation: 1)
  var client = ClientPath.unread
  var expiresAt = Instant(nanoseconds: 0)
  var transport = RelayTransport.udp
  var traffic = (toPeers: TrafficCount(), toClient: TrafficCount())
  var buckets = ByDirection(RateBucket())
  var icmpBucket = RateBucket()
  var unfragmentedBucket = RateBucket()
  var bandwidth = AllocationBandwidth()
  /// The times at which the user's buckets of shared bandwidth are full again, in microseconds (`RateTable`).
  var userBuckets = ByDirection<UInt64>(0)
  var details = AllocationDetails.unread
  var ports: [(handle: Handle<RelayPort>, port: RelayPort)] = []
  /// The permissions, in the order in which they are inserted into their list.
  var permissions: [(address: IPAddress, expiresAt: Instant)] = []
  var channels: [(number: UInt16, peer: PeerAddress, expiresAt: Instant)] = []
  var peerConnections: [PeerConnectionRecord] = []
  /// The measurements of both directions; empty without any.
  var qualities: [PathQuality] = []

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&handle)
    try coder.code(&client)
    try coder.code(&expiresAt)
    try coder.code(&transport)
    try traffic.toPeers.code(with: &coder)
    try traffic.toClient.code(with: &coder)
    try buckets.toPeers.code(with: &coder)
    try buckets.toClients.code(with: &coder)
    try icmpBucket.code(with: &coder)
    try unfragmentedBucket.code(with: &coder)
    try bandwidth.code(with: &coder)
    try coder.code(&userBuckets.toPeers)
    try coder.code(&userBuckets.toClients)
    try details.code(with: &coder)
    try codePorts(with: &coder)
    try codePeers(with: &coder)
    var count = qualities.count
    try coder.code(count: &count)
    guard count == 0 || count == 2 else { throw coder.failure("a measurement needs both directions") }
    if coder.isReading { qualities = Array(repeating: PathQuality(), count: count) }
    for index in qualities.indices { try qualities[index].code(with: &coder) }
    // New fields come last, so that a record without them can be read.
    if coder.hasMore || !coder.isReading { try codeAdvertised(with: &coder) }
    if coder.hasMore || !coder.isReading { try codeArrivals(with: &coder) }
  }

  /// Codes the arrival times of the waiting Connect requests.
  private mutating func codeArrivals(with coder: inout RecordCoder) throws(RecordError) {
    for index in peerConnections.indices where peerConnections[index].request != nil {
      var arrival = peerConnections[index].request?.arrivedAt ?? Instant(nanoseconds: 0)
      try coder.code(&arrival)
      // Zero stands for nil: no request arrives in the first nanosecond after the host's start.
      peerConnections[index].request?.arrivedAt = arrival.nanoseconds == 0 ? nil : arrival
    }
  }

  private mutating func codeAdvertised(with coder: inout RecordCoder) throws(RecordError) {
    for index in ports.indices {
      try coder.code(&ports[index].port.advertised)
      guard ports[index].port.advertised.family == ports[index].port.family else {
        throw coder.failure("an advertised address is of another family")
      }
    }
  }

  private mutating func codePorts(with coder: inout RecordCoder) throws(RecordError) {
    var count = ports.count
    try coder.code(count: &count)
    guard (1...2).contains(count) else { throw coder.failure("an allocation has one or two ports") }
    if coder.isReading {
      ports = Array(repeating: (Handle(index: 0, generation: 1), .unread), count: count)
    }
    for index in ports.indices {
      try coder.code(&ports[index].handle)
      try ports[index].port.code(with: &coder)
    }
  }

  private mutating func codePeers(with coder: inout RecordCoder) throws(RecordError) {
    var count = permissions.count
    try coder.code(count: &count, atLeast: 25)
    if coder.isReading { permissions = Array(repeating: (.ipv4Any, Instant(nanoseconds: 0)), count: count) }
    for index in permissions.indices {
      try coder.code(&permissions[index].address)
      try coder.code(&permissions[index].expiresAt)
    }
    count = channels.count
    try coder.code(count: &count, atLeast: 33)
    if coder.isReading {
      channels = Array(repeating: (0, PeerAddress(.none), Instant(nanoseconds: 0)), count: count)
    }
    for index in channels.indices {
      try coder.code(&channels[index].number)
      try coder.code(&channels[index].peer)
      try coder.code(&channels[index].expiresAt)
      guard (0x4000...0x7FFF).contains(channels[index].number) else {
        throw coder.failure("no channel has this number")
      }
    }
    count = peerConnections.count
    try coder.code(count: &count, atLeast: 38)
    if coder.isReading { peerConnections = Array(repeating: PeerConnectionRecord(), count: count) }
    for index in peerConnections.indices { try peerConnections[index].code(with: &coder) }
  }
}

/// A peer connection in a handover to another process.
struct PeerConnectionRecord {
  var handle = Handle<PeerConnection>(index: 0, generation: 1)
  var peer = PeerAddress(.none)
  var state = PeerConnection.State.failed
  var identifier: UInt32 = 0
  var expiresAt = Instant(nanoseconds: 0)
  var request: ConnectRequest?

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&handle)
    try coder.code(&peer)
    try coder.code(&state)
    try coder.code(&identifier)
    try coder.code(&expiresAt)
    try coder.code(&request, .unread) { coder, request throws(RecordError) in
      try coder.code(&request.client)
      try coder.code(&request.transactionID)
      try coder.code(&request.principal)
      try coder.code(&request.hasFingerprint)
    }
  }
}

extension ConnectRequest {
  fileprivate static var unread: ConnectRequest {
    ConnectRequest(
      client: .unread, transactionID: TransactionID(high: 0, low: 0), principal: .anonymous, hasFingerprint: false)
  }
}

extension RelayPort {
  static var unread: RelayPort {
    RelayPort(
      address: RelayedAddress(0, 0), advertised: .ipv4Any, family: .ipv4, transport: .udp, ticket: .ended,
      expiresAt: Instant(nanoseconds: 0), claimsNext: false)
  }

  fileprivate mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&address)
    try coder.code(&family)
    try coder.code(&transport)
    try coder.code(&expiresAt)
  }
}

extension AllocationDetails {
  static var unread: AllocationDetails {
    AllocationDetails(
      realm: .default, username: [], quotaName: [], keys: nil,
      kind: AllocationKind(transport: .udp, families: .ipv4, relayTransport: .udp),
      transactionID: TransactionID(high: 0, low: 0), grantedLifetime: .zero, createdAt: Instant(nanoseconds: 0),
      admittedAddress: .ipv4Any, bandwidthSubject: RateTable.Subject(0, 0))
  }

  /// Codes everything except `bandwidthSubject`, whose seed differs in each process.
  fileprivate mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&realm)
    try coder.code(&username)
    try coder.code(&quotaName)
    try coder.code(&keys, .ofNoUser) { coder, keys throws(RecordError) in try coder.code(&keys) }
    try coder.code(&credentialEnd, .epoch) { coder, time throws(RecordError) in try coder.code(&time) }
    try coder.code(&nameExpiry, .epoch) { coder, time throws(RecordError) in try coder.code(&time) }
    try kind.code(with: &coder)
    try drops.code(with: &coder)
    try coder.code(&transactionID)
    try coder.code(&grantedLifetime)
    try coder.code(&reservationToken)
    var error: UInt16 = addressError?.code.rawValue ?? 0
    var family = addressError?.family ?? .ipv4
    try coder.code(&error)
    try coder.code(&family)
    addressError = error == 0 ? nil : (family, ErrorCode(rawValue: error))
    try coder.code(&createdAt)
    try coder.code(&admittedAddress)
    try coder.code(&mobility, Mobility()) { coder, mobility throws(RecordError) in try mobility.code(with: &coder) }
    try coder.code(&nonceBirth)
    // In the record 0 stands for nil: no round trip takes 0 microseconds.
    var roundTrip = roundTripMicroseconds ?? 0
    try coder.code(&roundTrip)
    roundTripMicroseconds = roundTrip == 0 ? nil : roundTrip
  }
}

extension AllocationKind {
  fileprivate mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&transport)
    var number = UInt8(truncatingIfNeeded: Families.allCases.firstIndex(of: families) ?? 0)
    try coder.code(&number)
    guard Int(number) < Families.allCases.count else { throw coder.failure("an allocation has unknown families") }
    families = Families.allCases[Int(number)]
    try coder.code(&relayTransport)
  }
}

extension Mobility {
  fileprivate mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&ticket)
    try coder.code(&epoch)
    try coder.code(&previousEpoch)
    try coder.code(&previousUntil)
    try coder.code(&transactionID, TransactionID(high: 0, low: 0)) { coder, value throws(RecordError) in
      try coder.code(&value)
    }
    try coder.code(&pending, .unread) { coder, path throws(RecordError) in try coder.code(&path) }
    try coder.code(&isDetached)
  }
}
