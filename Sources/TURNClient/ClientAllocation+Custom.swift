internal import Crypto
internal import NetworkTypes
public import STUN

extension ClientAllocation {
  /// A request of any method, for tests of servers, signed like the allocation's own requests if `isSigned`. `tail`
  /// appends attributes after the integrity, which servers must ignore. The caller sends the request and receives the
  /// answer. `other`: a user whose credentials sign the request in place of the owner's.
  public mutating func customRequest(
    _ method: STUN.Method, isSigned: Bool = true, as other: LongTermCredential? = nil,
    body: (inout MessageWriter) -> Void = { _ in },
    tail: ((inout MessageWriter) -> Void)? = nil
  ) -> (transaction: TransactionID, bytes: [UInt8]) {
    let id = TransactionID(from: &generator)
    writer.begin(MessageType(method, .request), transactionID: id)
    body(&writer)
    if isSigned, let credential = other ?? settings.credential, authentication.isReady {
      let signer = other.map { authentication.with($0) } ?? authentication
      signer.sign(&writer, credential: credential, with: &authenticator)
    }
    if let tail { tail(&writer) } else { writer.appendFingerprint() }
    return (id, writer.bytes.copied())
  }

  /// Takes realm and nonce of a 438 to a custom request; false if they are missing or invalid.
  public mutating func learnCustom(from response: RawSpan) -> Bool {
    guard let credential = settings.credential, let message = try? MessageView(response) else { return false }
    return authentication.learn(from: message, credential: credential) == nil
  }
}
