internal import Crypto
public import NetworkTypes
internal import STUN
public import Tables

/// Codes the values in the records of a handover.
extension RecordCoder {
  mutating func code(_ value: inout Instant) throws(RecordError) { try code(&value.nanoseconds) }

  mutating func code(_ value: inout Duration) throws(RecordError) {
    let parts = value.components
    var (seconds, attoseconds) = (parts.seconds, parts.attoseconds)
    try code(&seconds)
    try code(&attoseconds)
    guard isReading else { return }
    guard seconds.magnitude <= 1 << 40, attoseconds.magnitude < 1_000_000_000_000_000_000 else {
      throw failure("a duration is too long")
    }
    value = Duration(secondsComponent: seconds, attosecondsComponent: attoseconds)
  }

  mutating func code(_ value: inout TransactionID) throws(RecordError) {
    var (high, low) = (value.high, value.low)
    try code(&high)
    try code(&low)
    value = TransactionID(high: high, low: low)
  }

  mutating func code(_ value: inout RelayedAddress) throws(RecordError) {
    try code(&value.ordinal)
    try code(&value.port)
  }

  mutating func code(_ value: inout PeerAddress) throws(RecordError) { try code(&value.transportAddress) }

  mutating func code(_ value: inout Digest) throws(RecordError) {
    var bytes = value.array
    try code(&bytes)
    guard isReading else { return }
    guard let digest = Digest(bytes) else { throw failure("a key has the wrong length") }
    value = digest
  }

  mutating func code(_ keys: inout CredentialKeys) throws(RecordError) {
    var count = keys.md5.count
    try code(count: &count)
    guard count <= 8 else { throw failure("a user has too many keys") }
    if isReading { keys.md5 = [Digest](repeating: .zero, count: count) }
    for index in keys.md5.indices { try code(&keys.md5[index]) }
    try code(&keys.sha256, .zero) { coder, key throws(RecordError) in try coder.code(&key) }
    try code(&keys.name, []) { coder, name throws(RecordError) in try coder.code(&name) }
    try code(&keys.bandwidthWord)
  }

  mutating func code(_ principal: inout Principal) throws(RecordError) {
    try code(&principal.realm)
    try code(&principal.username)
    try code(&principal.quotaName)
    try code(&principal.keys, .ofNoUser) { coder, keys throws(RecordError) in try coder.code(&keys) }
    try code(&principal.key, .zero) { coder, key throws(RecordError) in try coder.code(&key) }
    try code(&principal.usesSHA256)
    try code(&principal.credentialTimeLeft, .zero) { coder, time throws(RecordError) in try coder.code(&time) }
    try code(&principal.nameExpiry, .epoch) { coder, time throws(RecordError) in try coder.code(&time) }
  }
}

extension RecordCoder {
  public mutating func code(_ value: inout UnixTime) throws(RecordError) { try code(&value.seconds) }

  public mutating func code(_ value: inout IPAddress) throws(RecordError) {
    var (high, low, family) = (value.high, value.low, value.family)
    try code(&high)
    try code(&low)
    try code(&family)
    guard isReading else { return }
    switch family {
    case .ipv6: value = IPAddress(ipv6High: high, low: low)
    case .ipv4:
      guard high == 0, let bits = UInt32(exactly: low) else { throw failure("an IPv4 address is too long") }
      value = IPAddress(ipv4: bits)
    }
  }

  public mutating func code(_ value: inout SocketAddress) throws(RecordError) {
    try code(&value.address)
    try code(&value.port)
    try code(&value.scope)
  }

  public mutating func code(_ value: inout ClientPath) throws(RecordError) {
    var (address, endpoint, transport) = (value.address, value.endpoint, value.transport)
    var connection = OptionalHandle(value.connection)
    var realm = value.realm
    try code(&address)
    try code(&endpoint)
    try code(&transport)
    try code(&connection)
    try code(&realm)
    value = ClientPath(
      address: address, endpoint: endpoint, transport: transport,
      connection: connection.handle, realm: realm)
  }
}

extension ClientPath {
  /// The value before a path is read.
  public static let unread = ClientPath(address: .none, endpoint: EndpointID(rawValue: 0), transport: .udp)
}
