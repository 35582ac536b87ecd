internal import Crypto
internal import NetworkTypes

/// Makes and checks nonces without keeping any: a nonce is its own birth time and a MAC over that, the client's
/// transport address and the realm (RFC 8489 section 9.2.4 forbids one nonce for two source addresses).
///
/// ```
///  +-------------------------+----------------------------------------+
///  | birth, seconds (32 bit) | HMAC-SHA-256, first 14 bytes           |   in Base64: 24 characters
///  +-------------------------+----------------------------------------+
/// ```
///
/// The key is the server's, or the fleet's: every shard, and every node that shares it, accepts what another made.
struct NonceAuthority: ~Copyable {
  private let key: [UInt8]
  private var context = HMACContext(.sha256)

  static let macByteCount = 14

  init(key: [UInt8]) { self.key = key }

  mutating func makeNonce(for client: SocketAddress, realm: [UInt8], now: Now) -> [UInt8] {
    let birth = UInt32(truncatingIfNeeded: now.wallSeconds)
    return Array(Base64.encode(bytes(birth, client: client, realm: realm)).utf8)
  }

  /// Whether the nonce was made for this client and realm no longer than `lifetime` seconds ago.
  mutating func isValid(
    _ nonce: RawSpan, for client: SocketAddress, realm: [UInt8], lifetime: UInt32, now: Now
  ) -> Bool {
    guard nonce.byteCount == 24, let decoded = Base64.decode(String(decoding: nonce.copied(), as: UTF8.self)),
      decoded.count == 4 + Self.macByteCount
    else { return false }
    let birth = decoded.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let expected = bytes(birth, client: client, realm: realm)
    guard constantTimeEqual(expected.span.rawBytes, decoded.span.rawBytes) else { return false }
    // Modular, so that neither 2106 nor a clock set back a little makes every nonce stale.
    let age = UInt32(truncatingIfNeeded: now.wallSeconds) &- birth
    return age <= lifetime || age > UInt32.max - 5
  }

  private mutating func bytes(_ birth: UInt32, client: SocketAddress, realm: [UInt8]) -> [UInt8] {
    var input: [UInt8] = []
    append(birth, to: &input)
    append(client.address.high, to: &input)
    append(client.address.low, to: &input)
    append(client.port, to: &input)
    input.append(client.family.rawValue)
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
