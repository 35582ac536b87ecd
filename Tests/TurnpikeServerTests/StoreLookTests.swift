import Credentials
import Crypto
import Log
import NetIO
import NetworkTypes
import Synchronization
import System
import TURN
import Testing

@testable import TurnpikeServer

/// The secret of a store that another process changes, and the secrets that the service has reported.
private final class Changes: Sendable {
  let secret = Mutex<UInt8>(1)
  let reported = Mutex<[UInt8]>([])
}

private final class ChangingStore: EmptyStore {
  private let changes: Changes

  init(_ changes: Changes) { self.changes = changes }

  override func secrets(realm: String) throws(StoreError) -> [[UInt8]] { [[changes.secret.withLock { $0 }]] }
  override func changeToken() throws(StoreError) -> UInt64 { UInt64(changes.secret.withLock { $0 }) }
  override func isEmpty() throws(StoreError) -> Bool { false }
}

@Suite("Searches for changes of a credential store")
struct StoreLookTests {
  @Test("A search is answered only after the earlier changes have been reported")
  func look() throws {
    let service = try CredentialService(realms: [.default: "example.org"])
    let looks = try Mailbox<UInt64>(capacity: 16)
    let log = Log(level: .error, format: .text, clock: { .epoch }, sink: { _ in true })
    let changes = Changes()
    let thread = try Thread(name: "store") {
      service.run(
        log: log, open: { ChangingStore(changes) },
        changed: { contents in
          let secret = contents[.default]?.secrets.first?.first ?? 0
          changes.reported.withLock { $0.append(secret) }
        })
    }
    for number in UInt8(2)...20 {
      changes.secret.withLock { $0 = number }
      #expect(service.look(UInt64(number), looks))
      #expect(Readiness.wait(for: looks.rawValue, until: Instant.read().advanced(by: .seconds(10))))
      #expect(looks.takeAll() == [UInt64(number)])
      #expect(changes.reported.withLock { $0.last } == number)
    }
    service.stop()
    thread.join()
  }
}
