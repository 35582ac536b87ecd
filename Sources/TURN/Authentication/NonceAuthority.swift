internal import Crypto
internal import NetworkTypes

/// Makes and checks nonces without storing them. A nonce is the cookie of RFC 8489 section 9.2, its creation time, and
/// a MAC over both, the client's transport address, the realm and the offered password algorithms (section 9.2.4
/// forbids one nonce for two source addresses; section 9.2.1 requires that the offer is protected).
///
/// ```
///  +-----------------------+-------------------------+---------------------------------+
///  | cookie: 13 characters | birth, seconds (32 bit) | HMAC-SHA-256, its first 8 bytes |   29 characters, the
///  +-----------------------+-------------------------+---------------------------------+   latter two in Base64
/// ```
///
/// The MAC is truncated to 8 bytes to keep unauthenticated answers small; a forged MAC gains only a valid nonce. All
/// shards, and all servers with the same key, accept each other's nonces.
struct NonceAuthority: ~Copyable {
  private let key: [UInt8]
  private var context = HMACContext(.sha256)

  static let macByteCount = 8
  static let byteCount = PasswordOffer.cookieByteCount + (4 + macByteCount) / 3 * 4

  /// The state of a nonce.
  enum State {
    /// Made for this client, realm and offer, and not expired.
    case fresh
    /// Made for this client, realm and offer, and expired.
    case stale
    /// Made for another client, with another offer, by another server, or forged.
    case foreign
  }

  init(key: [UInt8]) { self.key = key }

  /// Makes a nonce for this client.
  ///
  /// - Parameter born: the beginning of its lifetime.
  mutating func makeNonce(
    for client: SocketAddress, realm: [UInt8], offer: borrowing PasswordOffer, born: UnixTime
  ) -> [UInt8] {
    let birth = UInt32(truncatingIfNeeded: born.seconds)
    return offer.cookie + Array(Base64.encode(bytes(birth, client: client, realm: realm, offer: offer)).utf8)
  }

  /// The state of `nonce` for this client; nonces expire after `lifetime`.
  mutating func state(
    of nonce: RawSpan, for client: SocketAddress, realm: [UInt8], offer: borrowing PasswordOffer, lifetime: Duration,
    now: Now
  ) -> State {
    let cookieEnd = PasswordOffer.cookieByteCount
    guard nonce.byteCount == Self.byteCount, nonce.extracting(0..<cookieEnd).isEqual(to: offer.cookie),
      let decoded = Base64.decode(
        String(decoding: nonce.extracting(cookieEnd..<nonce.byteCount).copied(), as: UTF8.self)),
      decoded.count == 4 + Self.macByteCount
    else { return .foreign }
    let birth = decoded.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let expected = bytes(birth, client: client, realm: realm, offer: offer)
    guard constantTimeEqual(expected.span.rawBytes, decoded.span.rawBytes) else { return .foreign }
    // Modular arithmetic: neither the overflow in 2106 nor a clock set back by five seconds makes every nonce stale.
    let age = UInt32(truncatingIfNeeded: now.wall.seconds) &- birth
    return age <= lifetime.wholeSeconds || age > UInt32.max - 5 ? .fresh : .stale
  }

  private mutating func bytes(
    _ birth: UInt32, client: SocketAddress, realm: [UInt8], offer: borrowing PasswordOffer
  ) -> [UInt8] {
    var input: [UInt8] = []
    append(birth, to: &input)
    append(client.address.high, to: &input)
    append(client.address.low, to: &input)
    append(client.port, to: &input)
    input.append(client.family.rawValue)
    input += offer.cookie
    append(UInt16(truncatingIfNeeded: offer.list.count), to: &input)
    input += offer.list
    input += realm
    // Copies the reference, because the key and the context are parts of one value, and the context is changed.
    let key = key
    let mac = context.authenticate(input.span.rawBytes, key: key.span.rawBytes)
    return Array(input.prefix(4)) + mac.array.prefix(Self.macByteCount)
  }

  private func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
