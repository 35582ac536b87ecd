import NetworkTypes
import TURN
import Tables
import Testing

@testable import TurnpikeServer

@Suite("Cached answers of the store")
struct KnownKeysTests {
  let start = Instant(nanoseconds: 1_000_000_000)

  private func word(_ known: KnownKeys, _ name: String, realm: UInt8 = 0, after seconds: UInt32 = 0) -> String {
    switch known.find(
      .name(Array(name.utf8)), realm: RealmID(rawValue: realm), now: start.advanced(bySeconds: seconds))
    {
    case .known: "known"
    case .noUser: "no user"
    case .notAsked: "not asked"
    }
  }

  @Test("Users are cached for a minute, unknown names for five seconds, each in its realm")
  func lifetimes() {
    var known = KnownKeys()
    _ = known.remember(.name(Array("alice".utf8)), realm: .default, CredentialKeys(md5: []), now: start)
    _ = known.remember(.name(Array("bob".utf8)), realm: .default, nil, now: start)
    #expect(word(known, "alice", after: 59) == "known")
    #expect(word(known, "alice", after: 60) == "not asked")
    #expect(word(known, "bob", after: 4) == "no user")
    #expect(word(known, "bob", after: 5) == "not asked")
    #expect(word(known, "bob", realm: 1) == "not asked")
    #expect(word(known, "carol") == "not asked")
    known.forgetAll()
    #expect(word(known, "alice") == "not asked")
    #expect(word(known, "bob") == "not asked")
  }

  @Test("Unknown names are bounded and evict no user, and a user beyond the limit is reported")
  func bounded() {
    var known = KnownKeys()
    _ = known.remember(.name([1]), realm: .default, CredentialKeys(md5: []), now: start)
    for number in 0..<(KnownKeys.limit + 1) {
      let isRoomy = known.remember(.name(Array("\(number)".utf8)), realm: .default, nil, now: start)
      #expect(isRoomy)
    }
    #expect(word(known, "0") == "not asked")
    #expect(word(known, "\(KnownKeys.limit)") == "no user")
    #expect(word(known, "\u{1}") == "known")
    var told = 0
    for number in 0..<KnownKeys.limit {
      let name = UserReference.name(Array("u\(number)".utf8))
      if !known.remember(name, realm: .default, CredentialKeys(md5: []), now: start) { told += 1 }
    }
    #expect(told == 1)
    #expect(word(known, "\u{1}") == "not asked")
  }

  @Test("2,000 look-ups a second are allowed, with a burst of as many")
  func rate() {
    var rate = LookUpRate()
    for (nanoseconds, expected) in [(1_000_000_000 as UInt64, 2000), (2_000_000_000, 2000), (2_500_000_000, 1000)] {
      var granted = 0
      for _ in 0..<5000 where rate.take(now: Instant(nanoseconds: nanoseconds)) { granted += 1 }
      #expect(granted == expected)
    }
  }

  @Test("Postponed look-ups have a limit, and are taken oldest first")
  func laterLookUps() {
    var later = LaterLookUps()
    for number in 0..<2 * LaterLookUps.limit where !later.isFull {
      later.append(
        LaterLookUps.Entry(
          ticket: Handle(index: UInt32(number), generation: 1), realm: .default, user: .name([UInt8(number & 255)])))
    }
    #expect(later.takeAll().map(\.ticket.index) == (0..<UInt32(LaterLookUps.limit)).map { $0 })
    #expect(!later.isFull && later.takeAll().isEmpty)
  }
}
