internal import Crypto
internal import NetworkTypes

/// Makes and checks nonces without keeping any: a nonce is the cookie of RFC 8489 section 9.2, its own birth time,
/// and a MAC over both, the client's transport address, the realm and the password algorithms that were offered with
/// it (section 9.2.4 forbids one nonce for two source addresses; section 9.2.1 wants the offer protected).
///
/// ```
///  +-----------------------+-------------------------+---------------------------------+
///  | cookie: 13 characters | birth, seconds (32 bit) | HMAC-SHA-256, its first 8 bytes |   29 characters, the
///  +-----------------------+-------------------------+---------------------------------+   latter two in Base64
/// ```
///
/// Eight bytes, so that what strangers are answered stays small: each guess costs an answer, and all that a lucky
/// one brings is a nonce. The key is the server's, or the fleet's: every shard, and every node that shares it,
/// accepts what another made.
struct NonceAuthority: ~Copyable {
  private let key: [UInt8]
  private var context = HMACContext(.sha256)

  static let macByteCount = 8
  static let byteCount = PasswordOffer.cookieByteCount + (4 + macByteCount) / 3 * 4

  /// What a nonce is to us.
  enum State {
    /// Made for this client, realm and offer, and young enough.
    case fresh
    /// Made for them, and too old.
    case stale
    /// Made for somebody else, with another offer, by another server, or made up.
    case foreign
  }

  init(key: [UInt8]) { self.key = key }

  mutating func makeNonce(
    for client: SocketAddress, realm: [UInt8], offer: borrowing PasswordOffer, now: Now
  ) -> [UInt8] {
    let birth = UInt32(truncatingIfNeeded: now.wallSeconds)
    return offer.cookie + Array(Base64.encode(bytes(birth, client: client, realm: realm, offer: offer)).utf8)
  }

  /// What `nonce` is for this client, where nonces are good for `lifetime` seconds.
  mutating func state(
    of nonce: RawSpan, for client: SocketAddress, realm: [UInt8], offer: borrowing PasswordOffer, lifetime: UInt32,
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
    // Modular, so that neither 2106 nor a clock set back a little makes every nonce stale.
    let age = UInt32(truncatingIfNeeded: now.wallSeconds) &- birth
    return age <= lifetime || age > UInt32.max - 5 ? .fresh : .stale
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
    // A copy of the reference: the key and the context are parts of one value, and the context changes.
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
