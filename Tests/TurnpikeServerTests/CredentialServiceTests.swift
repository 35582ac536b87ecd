import Credentials
import Crypto
import Dispatch
import Log
import NetIO
import System
import NetworkTypes
import TURN
import Tables
import Testing

@testable import TurnpikeServer

/// A store that blocks every look-up until it is released.
private final class StuckStore: EmptyStore {
  let asked: DispatchSemaphore
  let gate: DispatchSemaphore

  init(asked: DispatchSemaphore, gate: DispatchSemaphore) {
    self.asked = asked
    self.gate = gate
  }

  override func keys(realm: String, username: [UInt8]) throws(StoreError) -> UserKeys? {
    asked.signal()
    gate.wait()
    return nil
  }
}

@Suite("The credential service")
struct CredentialServiceTests {
  @Test("While the store does not answer, shards ask without waiting, up to a bound, and get their answers later")
  func stuckStore() throws {
    let service = try CredentialService(realms: [.default: "example.org"])
    let answers = try Mailbox<ShardMessage>(capacity: 10_000)
    let asked = DispatchSemaphore(value: 0)
    let gate = DispatchSemaphore(value: 0)
    let log = Log(level: .error, format: .text, clock: { .epoch }, sink: { _ in true })
    let thread = try Thread(name: "store") {
      service.run(
        log: log, open: { StuckStore(asked: asked, gate: gate) }, changed: { _ in })
    }
    func ask(_ number: UInt32) -> Bool {
      service.lookUp(
        CredentialService.LookUp(
          ticket: Handle(index: number, generation: 1), realm: .default, user: .name([1]),
          answers: answers))
    }
    #expect(ask(0))
    asked.wait()
    // The service is blocked in the store now, and this thread is not.
    var taken = 0
    for number in UInt32(1)...5000 where ask(number) { taken += 1 }
    #expect(taken == 4096)
    for _ in 0...taken { gate.signal() }
    var answered = 0
    while answered <= taken, Readiness.wait(for: answers.rawValue, until: Instant.read().advanced(by: .seconds(10))) {
      answered += answers.takeAll().count
    }
    #expect(answered == taken + 1)
    service.stop()
    thread.join()
  }
}
