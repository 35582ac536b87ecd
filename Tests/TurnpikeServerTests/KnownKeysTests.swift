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
      .name(Array(name.utf8)), realm: RealmID(rawValue: realm), now: start.advanced(by: .seconds(seconds)))
    {
    case .known: "known"
    case .noUser: "no user"
    case .notAsked: "not asked"
    }
  }

  @Test("Users and unknown names are both cached for five seconds, each in its realm")
  func lifetimes() {
    var known = KnownKeys()
    _ = known.remember(.name(Array("alice".utf8)), realm: .default, CredentialKeys(md5: []), now: start)
    _ = known.remember(.name(Array("bob".utf8)), realm: .default, nil, now: start)
    #expect(word(known, "alice", after: 4) == "known")
    #expect(word(known, "alice", after: 5) == "not asked")
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

  @Test("2,000 look-ups a second are allowed, with a burst of 2,000")
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
        KeyLookUp(
          ticket: Handle(index: UInt32(number), generation: 1), realm: .default, user: .name([UInt8(number & 255)])))
    }
    #expect(later.takeAll().map(\.ticket.index) == (0..<UInt32(LaterLookUps.limit)).map { $0 })
    #expect(!later.isFull && later.takeAll().isEmpty)
  }
}

@Suite("Look-ups of user keys")
struct KeyLookUpsTests {
  private let start = Instant(nanoseconds: 1_000_000_000)
  private let client = IPAddress.ipv4Loopback
  private let limiter = StrangerRateLimiter(limit: 0, seed: (1, 2))

  private func lookUp(_ name: String) -> KeyLookUp {
    KeyLookUp(ticket: Handle(index: 0, generation: 1), realm: .default, user: .name(Array(name.utf8)))
  }

  private func word(_ lookUps: inout KeyLookUps, _ name: String, from client: IPAddress? = nil) -> String {
    switch lookUps.step(lookUp(name), from: client ?? self.client, limiter, now: start) {
    case .found(let keys): keys == nil ? "no user" : "keys"
    case .ask: "ask"
    case .limited(let limit): "\(limit)"
    }
  }

  @Test("A cached answer takes nothing from the rates, and after a change the store is asked again")
  func cached() {
    var lookUps = KeyLookUps()
    let alice = CredentialKeys(md5: [])
    _ = lookUps.remember(.name(Array("alice".utf8)), realm: .default, alice, lifetime: nil, now: start)
    _ = lookUps.remember(.name(Array("bob".utf8)), realm: .default, nil, lifetime: nil, now: start)
    for _ in 0..<100 {
      let words = [word(&lookUps, "alice"), word(&lookUps, "bob")]
      #expect(words == ["keys", "no user"])
    }
    lookUps.forgetAll()
    let words = [word(&lookUps, "alice"), word(&lookUps, "bob")]
    #expect(words == ["ask", "ask"])
  }

  @Test("An address has its own rate, and all addresses share the shard's")
  func rates() {
    var lookUps = KeyLookUps()
    let granted = Int(StrangerRateLimiter.lookUpsPerSecond)
    let words = (0...granted).map { word(&lookUps, "u\($0)") }
    #expect(words == Array(repeating: "ask", count: granted) + ["lookUpsOfAddress"])
    var counts: [String: Int] = [:]
    for number in 0..<3000 {
      counts[word(&lookUps, "v", from: IPAddress(ipv4: 0x0A00_0000 + UInt32(number))), default: 0] += 1
    }
    #expect(counts == ["ask": 2000 - granted, "lookUpRate": 1000 + granted])
  }

  @Test("Postponed look-ups are taken once, the oldest first, and beyond the limit none is kept")
  func postponed() {
    var lookUps = KeyLookUps()
    for number in 0..<LaterLookUps.limit {
      let isKept = lookUps.postpone(lookUp("\(number)"))
      #expect(isKept)
    }
    let isKept = lookUps.postpone(lookUp("x"))
    #expect(!isKept)
    let taken = lookUps.takePostponed()
    #expect(taken.count == LaterLookUps.limit && taken[0].user == .name([UInt8(ascii: "0")]))
    let rest = lookUps.takePostponed()
    #expect(rest.isEmpty)
  }
}
