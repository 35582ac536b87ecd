internal import Crypto
internal import NetworkTypes
internal import TURN

enum AccessTokenFuzz {
  private static let key = AccessTokenKey(id: [1], key: [UInt8](repeating: 7, count: 32))
  private static let server = Array("turnpike".utf8)

  /// The first byte chooses between an arbitrary token, a sealed token with an arbitrary block, and a valid token with
  /// a change.
  static func problem(with bytes: [UInt8]) -> String? {
    var input = FuzzInput(bytes)
    let choice = input.byte() % 3
    let rest = input.take(2000)
    switch choice {
    case 0:
      return AccessToken(rest.span.rawBytes, key: key, serverName: server) == nil
        ? nil : "a forged token is accepted"
    case 1:
      let nonce = [UInt8](repeating: 9, count: AEAD.nonceByteCount)
      guard let box = AEAD.seal(rest, key: key.key, nonce: nonce, associatedData: server) else { return nil }
      let sealed = [0, UInt8(AEAD.nonceByteCount)] + nonce + box
      guard let token = AccessToken(sealed.span.rawBytes, key: key, serverName: server) else { return nil }
      return problem(of: token, block: rest)
    default:
      return changed(rest)
    }
  }

  private static func problem(of token: AccessToken, block: [UInt8]) -> String? {
    guard (16...32).contains(token.macKey.count), block.count == token.macKey.count + 14 else {
      return "a wrong length"
    }
    for now in [.epoch, token.created, .distantFuture, UnixTime.epoch.advanced(by: token.lifetime)] {
      if let left = token.timeLeft(now: now), left > token.lifetime + .seconds(5) {
        return "a token is valid longer than its lifetime"
      }
    }
    guard
      let again = token.sealed(key: key, serverName: server, nonce: [UInt8](repeating: 3, count: AEAD.nonceByteCount)),
      AccessToken(again.span.rawBytes, key: key, serverName: server) == token
    else { return "the token differs after it was sealed again" }
    return nil
  }

  /// A changed token must be refused, and also a token for another server.
  private static func changed(_ bytes: [UInt8]) -> String? {
    guard bytes.count >= 20, let macKey = Digest(Array(bytes[0..<20])) else { return nil }
    let token = AccessToken(macKey: macKey, created: UnixTime(seconds: 1 << 24), lifetime: .seconds(600))
    guard
      var sealed = token.sealed(key: key, serverName: server, nonce: [UInt8](repeating: 5, count: AEAD.nonceByteCount))
    else { return "the token cannot be sealed" }
    guard AccessToken(sealed.span.rawBytes, key: key, serverName: bytes) == nil || bytes == server else {
      return "a token for another server is accepted"
    }
    guard bytes.count > 22, bytes[22] != 0 else { return nil }
    sealed[Int(bytes[21]) % sealed.count] ^= bytes[22]
    return AccessToken(sealed.span.rawBytes, key: key, serverName: server) == nil ? nil : "a changed token is accepted"
  }
}
