internal import Crypto
internal import NetworkTypes
internal import STUN
internal import TURNClient

// What must be signed to count.
extension SecurityCheck {
  /// What is unsigned, or stands behind the signature, must change nothing. Where it ended the allocation, another one
  /// takes its place; why there is none; nil: there is one.
  mutating func tamper(_ session: inout AllocationSession) throws(AllocationSession.Failure) -> String? {
    guard options.credential != nil else { return nil }
    let subject = "LIFETIME behind MESSAGE-INTEGRITY"
    let unsigned = try session.tryRequest(.refresh, isSigned: false) { $0.append(.lifetime, UInt32(0)) }
    if case .success = unsigned {
      note("unsigned-refresh", "Refresh without a signature", .letThrough, "strangers can end allocations")
      if let trouble = renew(&session) {
        note("behind-signature", subject, .unknown, trouble)
        return trouble
      }
    } else {
      note(
        "unsigned-refresh", "Refresh without a signature", unsigned.verdict(ifRefusedWith: [400, 401, 403]),
        unsigned.words)
    }
    let behind = try session.tryRequest(
      .refresh, body: { $0.append(.lifetime, UInt32(600)) }, tail: { $0.append(.lifetime, UInt32(0)) })
    switch behind {
    case .success(lifetime: 0):
      note("behind-signature", subject, .letThrough, "unsigned attributes are acted upon")
      return renew(&session)
    case .success: note("behind-signature", subject, .refused, "ignored")
    case .refused, .refusedWithoutCode, .silence:
      note("behind-signature", subject, behind.verdict(ifRefusedWith: [400, 403, 420]), behind.words)
    }
    return nil
  }

  /// Puts a session with a fresh IPv4 allocation in the place of one whose allocation is gone: what is asked of that
  /// one is refused with 437, which says nothing about any rule. Why there is none; nil: there is one.
  private mutating func renew(_ session: inout AllocationSession) -> String? {
    do throws(AllocationSession.Failure) {
      _ = try? session.delete()
      var fresh = try self.session(options.credential, .ipv4, seed: random.next())
      try fresh.allocate()
      session.close()
      session = fresh
      return nil
    } catch {
      return "the allocation is gone, and there is no other: \(failure(error, "Allocate").message)"
    }
  }
}
