internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TURNClient

/// What a server said to a request that no ordinary client makes.
enum CustomAnswer: Hashable, Sendable {
  case success(lifetime: UInt32?)
  case refused(ErrorCode)
  case silence

  var words: String {
    switch self {
    case .success: "success"
    case .refused(let code): "\(code.rawValue) \(code.reason)"
    case .silence: "no answer"
    }
  }
}

extension AllocationSession {
  /// Makes a request of any method, with attributes behind its signature if `tail` appends some, and waits for the
  /// answer.
  mutating func tryRequest(
    _ method: STUN.Method, isSigned: Bool = true, body: (inout MessageWriter) -> Void = { _ in },
    tail: ((inout MessageWriter) -> Void)? = nil
  ) throws(Failure) -> CustomAnswer {
    let request = client.customRequest(method, isSigned: isSigned, body: body, tail: tail)
    return try exchange(request.bytes, request.transaction)
  }

  /// Sends the bytes, over UDP three times if need be, until an answer of this transaction comes.
  mutating func exchange(_ bytes: [UInt8], _ transaction: TransactionID) throws(Failure) -> CustomAnswer {
    do {
      for _ in 1...(connection.transport.isStream ? 1 : 3) {
        try connection.send(bytes, until: Instant.read().advanced(bySeconds: 5))
        let end = Instant.read().advanced(byMilliseconds: connection.transport.isStream ? 1500 : 500)
        while try connection.receive(until: end) {
          if let answer = Self.answer(connection, transaction) { return answer }
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
    case .success: return .success(lifetime: (try? message.lifetime()) ?? nil)
    case .error: return .refused(((try? message.errorCode()) ?? nil)?.code ?? .serverError)
    case .request, .indication: return nil
    }
  }
}
