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

/// The secret of a store that another process changes, and what the service has reported of it.
private final class Changes: Sendable {
  let secret = Mutex<UInt8>(1)
  let reported = Mutex<[UInt8]>([])
}

private final class ChangingStore: CredentialStore {
  private let changes: Changes

  init(_ changes: Changes) { self.changes = changes }

  func keys(realm: String, username: [UInt8]) throws(StoreError) -> UserKeys? { nil }
  func user(realm: String, userHash: Digest) throws(StoreError) -> (name: [UInt8], keys: UserKeys)? { nil }
  func secrets(realm: String) throws(StoreError) -> [[UInt8]] { [[changes.secret.withLock { $0 }]] }
  func hasUsersWithoutSHA256(realm: String) throws(StoreError) -> Bool { false }
  func changeToken() throws(StoreError) -> UInt64 { UInt64(changes.secret.withLock { $0 }) }
  func isEmpty() throws(StoreError) -> Bool { false }
  func addUser(_ user: UserRecord) throws(StoreError) {}
  func setPassword(of user: UserRecord) throws(StoreError) {}
  func removeUser(realm: String, username: [UInt8]) throws(StoreError) {}
  func users(
    realm: String?, after: (realm: String, name: String)?, limit: Int
  ) throws(StoreError) -> [StoredUser] { [] }
  func addSecret(_ secret: [UInt8], realm: String) throws(StoreError) -> StoredSecret { throw .secretExists }
  func removeSecret(realm: String, id: UInt64) throws(StoreError) {}
  func listSecrets(realm: String?) throws(StoreError) -> [StoredSecret] { [] }
}

@Suite("Looks at a credential store")
struct StoreLookTests {
  @Test("A look is answered only after the changes before it have been reported")
  func look() throws {
    let service = try CredentialService(realms: [.default: "example.org"])
    let looks = try Mailbox<UInt64>(capacity: 16)
    let log = Log(level: .error, format: .text, clock: { 0 }, sink: { _ in true })
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
      #expect(Readiness.wait(for: looks.rawValue, until: Instant.read().advanced(bySeconds: 10)))
      #expect(looks.takeAll() == [UInt64(number)])
      #expect(changes.reported.withLock { $0.last } == number)
    }
    service.stop()
    thread.join()
  }
}
