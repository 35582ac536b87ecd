internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURNClient

/// The server's answer to a test request that ordinary clients do not send.
enum CustomAnswer: Hashable, Sendable {
  case success(lifetime: Duration?)
  case refused(ErrorCode)
  /// An error response without an ERROR-CODE.
  case refusedWithoutCode
  case silence

  var words: String {
    switch self {
    case .success: "success"
    case .refused(let code): "\(code.rawValue) \(code.reason)"
    case .refusedWithoutCode: "an error response without ERROR-CODE"
    case .silence: "no answer"
    }
  }

  /// The verdict if `codes` mean a refusal. Silence and errors about something else (the credentials, a nonce, a quota,
  /// a failure of the server) prove nothing.
  func verdict(ifRefusedWith codes: Set<Int>) -> SecurityReport.Verdict {
    switch self {
    case .success: .letThrough
    case .refused(let code): codes.contains(Int(code.rawValue)) ? .refused : .unknown
    case .refusedWithoutCode, .silence: .unknown
    }
  }

  /// 400, 403, 440 and 443: the server's answers for a peer that it does not relay to.
  static let peerRefusals: Set<Int> = [400, 403, 440, 443]
}

extension AllocationSession {
  /// Sends a request of any method, with attributes after its integrity if `tail` appends some, and waits for the
  /// answer. After a 438 to a signed request it repeats the request with the new nonce.
  mutating func tryRequest(
    _ method: STUN.Method, isSigned: Bool = true, as other: LongTermCredential? = nil,
    body: (inout MessageWriter) -> Void = { _ in },
    tail: ((inout MessageWriter) -> Void)? = nil
  ) throws(Failure) -> CustomAnswer {
    var answer = CustomAnswer.silence
    for _ in 1...Self.freshNonces {
      let request = client.customRequest(method, isSigned: isSigned, as: other, body: body, tail: tail)
      answer = try exchange(request.bytes, request.transaction)
      guard isSigned, answer == .refused(.staleNonce), Self.learn(connection, &client) else { break }
    }
    return answer
  }

  private static func learn(_ connection: borrowing ClientConnection, _ client: inout ClientAllocation) -> Bool {
    client.learnCustom(from: connection.message)
  }

  /// Limit of attempts with a new nonce; then 438 counts as the answer.
  private static let freshNonces = 4

  /// Sends the bytes (over UDP up to three times) and returns the answer with this transaction ID.
  mutating func exchange(_ bytes: [UInt8], _ transaction: TransactionID) throws(Failure) -> CustomAnswer {
    do {
      for _ in 1...(connection.transport.isStream ? 1 : 3) {
        try connection.send(bytes, until: Instant.read().advanced(by: .seconds(5)))
        let end = Instant.read().advanced(by: .milliseconds(connection.transport.isStream ? 1500 : 500))
        while try connection.receive(until: end) {
          if let answer = Self.answer(connection, transaction) { return answer }
          guard Instant.read() < end else { break }
        }
      }
    } catch {
      throw .connection(error)
    }
    return .silence
  }

  private static func answer(
    _ connection: borrowing ClientConnection, _ transaction: TransactionID
  ) -> CustomAnswer? {
    let bytes = connection.message
    guard let message = try? MessageView(bytes), message.transactionID == transaction else { return nil }
    switch message.type.messageClass {
    case .success: return .success(lifetime: ((try? message.lifetime()) ?? nil).map { Duration(wireSeconds: $0) })
    case .error:
      guard let error = try? message.errorCode() else { return .refusedWithoutCode }
      return .refused(error.code)
    case .request, .indication: return nil
    }
  }
}
