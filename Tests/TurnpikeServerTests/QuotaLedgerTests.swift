import NetworkTypes
import TURN
import Testing

@testable import TurnpikeServer

@Suite("Quotas")
struct QuotaLedgerTests {
  typealias Limits = QuotaLedger.Limits

  static let first = IPAddress(ipv4: 0xC000_0201)
  static let second = IPAddress(ipv4: 0xC000_0202)

  func holder(_ user: String, at address: IPAddress = first, realm: RealmID = .default) -> QuotaHolder {
    QuotaHolder(realm: realm, user: Array(user.utf8), address: address)
  }

  /// The quota that refuses one more allocation; nil if it is granted.
  func refusal(_ ledger: QuotaLedger, _ holder: QuotaHolder) -> QuotaLedger.Quota? {
    let (admission, quota) = ledger.admit(holder)
    switch quota {
    case nil: #expect(admission == .granted)
    case .user, .address: #expect(admission == .quotaReached)
    case .server, .realm: #expect(admission == .noCapacity)
    }
    return quota
  }

  @Test("A user has as many allocations as the limit says, from all addresses together")
  func users() {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 2, perAddress: 0)])
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice", at: Self.second)) == nil)
    #expect(refusal(ledger, holder("alice")) == .user)
    #expect(refusal(ledger, holder("bob")) == nil)
    #expect(ledger.total == 3)
    ledger.release(holder("alice", at: Self.second))
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice")) == .user)
  }

  @Test("A user's own limit replaces the general one until an answer of the store has none")
  func ownLimits() {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 1, perAddress: 0)])
    ledger.setOwnLimit(2, of: Array("alice".utf8), realm: .default)
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice")) == .user)
    #expect(refusal(ledger, holder("bob")) == nil)
    #expect(refusal(ledger, holder("bob")) == .user)
    ledger.setOwnLimit(nil, of: Array("alice".utf8), realm: .default)
    ledger.release(holder("alice"))
    #expect(refusal(ledger, holder("alice")) == .user)
    // A full table of own limits is emptied before the newest limit is set.
    for number in 0...QuotaLedger.ownLimitCount {
      ledger.setOwnLimit(5, of: Array("user-\(number)".utf8), realm: .default)
    }
    let first = holder("user-0")
    #expect(refusal(ledger, first) == nil)
    #expect(refusal(ledger, first) == .user)
    let last = holder("user-\(QuotaLedger.ownLimitCount)")
    for _ in 0..<5 { #expect(refusal(ledger, last) == nil) }
    #expect(refusal(ledger, last) == .user)
  }

  @Test("An address has as many allocations as the limit says, for all users together")
  func addresses() {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 0, perAddress: 2)])
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("bob")) == nil)
    #expect(refusal(ledger, holder("carol")) == .address)
    #expect(refusal(ledger, holder("carol", at: Self.second)) == nil)
    #expect(ledger.total == 3)
    ledger.release(holder("bob"))
    #expect(refusal(ledger, holder("carol")) == nil)
    #expect(refusal(ledger, holder("carol")) == .address)
    for name in ["alice", "carol"] { ledger.release(holder(name)) }
    #expect(refusal(ledger, holder("alice")) == nil)
  }

  @Test("An IPv6 /64 counts as one address")
  func prefixes() throws {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 0, perAddress: 1)])
    let host = try #require(IPAddress("2001:db8::1"))
    let neighbour = try #require(IPAddress("2001:db8::ffff:2"))
    let other = try #require(IPAddress("2001:db8:0:1::1"))
    #expect(refusal(ledger, holder("alice", at: host)) == nil)
    #expect(refusal(ledger, holder("bob", at: neighbour)) == .address)
    #expect(refusal(ledger, holder("carol", at: other)) == nil)
    ledger.release(holder("alice", at: neighbour))
    #expect(refusal(ledger, holder("bob", at: host)) == nil)
  }

  @Test("Anonymous clients have no per-user quota: only their address counts")
  func anonymous() {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 1, perAddress: 2)])
    #expect(refusal(ledger, holder("")) == nil)
    #expect(refusal(ledger, holder("")) == nil)
    #expect(refusal(ledger, holder("")) == .address)
    #expect(refusal(ledger, holder("", at: Self.second)) == nil)
    ledger.release(holder(""))
    #expect(refusal(ledger, holder("")) == nil)
  }

  @Test("The default realm's total is that of the server; another realm has its own and counts for both")
  func totals() {
    let ledger = QuotaLedger(limits: [
      Limits(total: 3, perUser: 0, perAddress: 0), Limits(total: 2, perUser: 0, perAddress: 0),
    ])
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == nil)
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == nil)
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == .realm)
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice")) == .server)
    #expect(ledger.total == 3)
    ledger.release(holder("alice", realm: RealmID(rawValue: 1)))
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == nil)
    ledger.release(holder("alice"))
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == .realm)
    #expect(refusal(ledger, holder("alice")) == nil)
  }

  @Test("Users and addresses of two realms are counted apart")
  func realms() {
    let limits = Limits(total: 0, perUser: 1, perAddress: 1)
    let ledger = QuotaLedger(limits: [limits, limits])
    #expect(refusal(ledger, holder("alice")) == nil)
    #expect(refusal(ledger, holder("alice", realm: RealmID(rawValue: 1))) == nil)
    #expect(refusal(ledger, holder("alice")) == .user)
    #expect(refusal(ledger, holder("bob", realm: RealmID(rawValue: 1))) == .address)
  }

  @Test("New limits apply to the next allocation, and the counts stay")
  func reload() {
    let ledger = QuotaLedger(limits: [Limits(total: 0, perUser: 0, perAddress: 0)])
    for _ in 0..<3 { #expect(refusal(ledger, holder("alice")) == nil) }
    ledger.setLimits([Limits(total: 0, perUser: 3, perAddress: 0)])
    #expect(refusal(ledger, holder("alice")) == .user)
    ledger.release(holder("alice"))
    #expect(refusal(ledger, holder("alice")) == nil)
  }

  @Test("Releasing an allocation that was never admitted leaves the counts of other users and addresses")
  func unknown() {
    let ledger = QuotaLedger(limits: [Limits(total: 1, perUser: 1, perAddress: 1)])
    ledger.release(holder("alice"))
    #expect(ledger.total == 0)
    #expect(refusal(ledger, holder("alice")) == nil)
    ledger.release(holder("bob", at: Self.second))
    #expect(refusal(ledger, holder("alice")) == .user)
  }
}
