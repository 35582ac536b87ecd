internal import Crypto
internal import NetworkTypes
internal import STUN
internal import TURNClient

// Requests of one user for another user's allocation.
extension SecurityCheck {
  /// Requests on the five-tuple of one user's allocation with another user's valid credentials must be answered with
  /// 441 (Wrong Credentials, RFC 8656 section 5). `trouble`: the reason why the owner has no allocation any more.
  mutating func otherUser(
    _ session: inout AllocationSession, _ relayed: SocketAddress, _ trouble: String?
  ) throws(AllocationSession.Failure) {
    guard options.credential != nil else { return }
    let subjects = ["Refresh", "CreatePermission"].map { "\($0) of one user's allocation by another" }
    guard let other = options.otherCredential else {
      let reason = "skipped: two users are needed (--second-username, or a shared secret)"
      for subject in subjects { record("other-user", subject, .notApplicable, reason) }
      return
    }
    if let trouble = trouble ?? self.trouble(with: other).map({ "the second user: \($0)" }) {
      for subject in subjects { record("other-user", subject, .unknown, trouble) }
      return
    }
    let refresh = try session.tryRequest(.refresh, as: other) { $0.append(.lifetime, UInt32(600)) }
    judge(refresh, subjects[0])
    let permission = try session.tryRequest(.createPermission, as: other) { $0.append(.xorPeerAddress, xor: relayed) }
    judge(permission, subjects[1])
  }

  private mutating func judge(_ answer: CustomAnswer, _ subject: String) {
    // 401 and 437 also refuse the other user.
    record("other-user", subject, answer.verdict(ifRefusedWith: [401, 437, 441]), answer.words)
  }

  /// The reason why the server refuses the second user an allocation of its own; nil if it grants one. If it refuses,
  /// a refusal of the other requests would prove nothing.
  private mutating func trouble(with other: LongTermCredential) -> String? {
    do {
      var session = try session(other, seed: random.next())
      defer { session.close() }
      try session.allocate()
      _ = try? session.delete()
      return nil
    } catch {
      return failure(error, "Allocate").message
    }
  }
}
