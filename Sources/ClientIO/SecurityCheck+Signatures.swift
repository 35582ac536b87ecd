internal import Crypto
internal import NetworkTypes
internal import STUN
internal import TURNClient

// Requests whose integrity must be checked.
extension SecurityCheck {
  /// Sends an unsigned Refresh, and one with attributes after the integrity: neither may change the allocation. If one
  /// ended it, a new allocation replaces it. Returns the reason if there is no allocation afterwards.
  mutating func tamper(_ session: inout AllocationSession) throws(AllocationSession.Failure) -> String? {
    guard options.credential != nil else { return nil }
    let subject = "LIFETIME after MESSAGE-INTEGRITY"
    let unsigned = try session.tryRequest(.refresh, isSigned: false) { $0.append(.lifetime, UInt32(0)) }
    if case .success = unsigned {
      record("unsigned-refresh", "Refresh without a signature", .letThrough, "strangers can end allocations")
      if let trouble = renew(&session) {
        record("behind-signature", subject, .unknown, trouble)
        return trouble
      }
    } else {
      record(
        "unsigned-refresh", "Refresh without a signature", unsigned.verdict(ifRefusedWith: [400, 401, 403]),
        unsigned.words)
    }
    let behind = try session.tryRequest(
      .refresh, body: { $0.append(.lifetime, UInt32(600)) }, tail: { $0.append(.lifetime, UInt32(0)) })
    switch behind {
    case .success(lifetime: Duration.zero):
      record("behind-signature", subject, .letThrough, "unsigned attributes are acted upon")
      return renew(&session)
    case .success: record("behind-signature", subject, .refused, "ignored")
    case .refused, .refusedWithoutCode, .silence:
      record("behind-signature", subject, behind.verdict(ifRefusedWith: [400, 403, 420]), behind.words)
    }
    return nil
  }

  /// Replaces a session whose allocation has ended by one with a new IPv4 allocation: requests on the old one get 437,
  /// which proves nothing about any rule. Returns the reason if there is no new allocation.
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
