internal import Crypto
internal import NetworkTypes

/// Reservation tokens (RFC 8656 section 18.10) that any shard can read: the relayed transport address, and a MAC that
/// makes the token unguessable and invalid for other users.
///
/// ```
///  +-----------------+---------------+--------------------------------------+
///  | ordinal (8 bit) | port (16 bit) | HMAC-SHA-256, first 5 bytes (40 bit) |
///  +-----------------+---------------+--------------------------------------+
/// ```
struct ReservationTokens: Sendable {
  private let key: [UInt8]

  init(key: [UInt8]) { self.key = Array("reservation".utf8) + key }

  func token(_ address: RelayedAddress, username: [UInt8]) -> UInt64 {
    let port = address.port
    let head = UInt64(address.ordinal) << 16 | UInt64(port)
    let input = [address.ordinal, UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] + username
    var context = HMACContext(.sha256)
    let mac = context.authenticate(input.span.rawBytes, key: key.span.rawBytes)
    return mac.array.prefix(5).reduce(head) { $0 << 8 | UInt64($1) }
  }

  /// The relayed transport address of this user's token; nil for any other token.
  func read(_ token: UInt64, username: [UInt8]) -> RelayedAddress? {
    let address = RelayedAddress(Int(token >> 56), UInt16(truncatingIfNeeded: token >> 40))
    return self.token(address, username: username) == token ? address : nil
  }
}
