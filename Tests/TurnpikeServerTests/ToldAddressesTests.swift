import Configuration
import Log
import NetworkTypes
import Synchronization
import TURN
import Testing

@testable import TurnpikeServer

@Suite("Addresses that clients are told for the relay addresses")
struct ToldAddressesTests {
  private let local = IPAddress("10.0.0.5")!
  private let other = IPAddress("fd00::5")!
  private let outside = IPAddress("198.51.100.7")!

  private final class Lines: Sendable {
    let texts = Mutex<[String]>([])
    var count: Int { texts.withLock { $0.count } }
  }

  private let lines = Lines()

  private var log: Log {
    let lines = lines
    return Log(level: .info, format: .text, clock: { .epoch }) { line in
      lines.texts.withLock { $0.append(line) }
      return true
    }
  }

  private var entries: [RelayedAddresses.Entry] {
    [.init(local: local, advertised: local), .init(local: other, advertised: other)]
  }

  private func asking(_ advertise: Advertise = .automatic) -> ToldAddresses {
    var relay = Settings.RelaySection()
    relay.advertise = advertise
    var told = ToldAddresses()
    told.ask(relay, locals: [local, other])
    return told
  }

  private func report(
    _ told: ToldAddresses, _ findings: [PublicAddressSearch.Finding]
  ) throws -> PublicAddressService.Report {
    PublicAddressService.Report(question: try #require(told.question), findings: findings)
  }

  private func addresses(_ told: inout ToldAddresses, _ reports: [PublicAddressService.Report]) -> [IPAddress] {
    told.addresses(after: reports, of: entries, now: Instant(nanoseconds: 0), to: log)
  }

  @Test("Clients are told an address that was found; without an answer the address stays")
  func answers() throws {
    var told = asking()
    let found = try report(told, [.init(local: local, found: outside, source: "cloud"), .init(local: other)])
    #expect(addresses(&told, [found]) == [outside, other])
    #expect(told.hasFound(local) && !told.hasFound(other))
    #expect(lines.count == 2)
  }

  @Test("The last of several reports counts")
  func order() throws {
    var told = asking()
    let first = try report(told, [.init(local: local, found: outside)])
    let second = try report(told, [.init(local: local, found: IPAddress("203.0.113.9"))])
    #expect(addresses(&told, [first, second]) == [IPAddress("203.0.113.9"), other])
  }

  @Test("A report about another question, or about an address of another host, changes and logs nothing")
  func foreign() throws {
    var told = asking()
    var stale = try report(told, [.init(local: local, found: outside)])
    stale.question.locals = [local]
    let stranger = try report(told, [.init(local: IPAddress("10.9.9.9")!, found: outside)])
    #expect(addresses(&told, [stale, stranger]) == [local, other])
    #expect(lines.count == 0 && !told.hasFound(local))
  }

  @Test("A configuration without look-ups asks a question only after one with look-ups")
  func questions() throws {
    var told = asking(.mapping([:]))
    #expect(told.question == nil)
    told = asking()
    let asked = try #require(told.question)
    var relay = Settings.RelaySection()
    relay.advertise = .mapping([:])
    told.ask(relay, locals: [local])
    #expect(told.question != nil && told.question != asked)
    told.ask(relay, locals: [local, other])
    // After two configurations without look-ups in a row, the second one asks no question.
    #expect(told.question?.locals == [local])
  }

  @Test("Changes are counted")
  func counts() {
    var told = ToldAddresses()
    told.countChange()
    told.countChange()
    #expect(told.changes == 2)
  }
}
