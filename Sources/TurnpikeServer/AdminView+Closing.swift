internal import Admin
internal import Credentials
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// Ends many sessions at once.
extension AdminView {
  func endSessions(_ selection: SessionsToEnd) throws(AdminFailure) -> JSONValue {
    let name = selection.realm ?? realmNames[0]
    let realm = try number(ofRealm: name)
    // Otherwise the client could log in again with a credential that a shard still has in its cache.
    try settle(realm)
    let count: Int
    switch selection.kind {
    case .user(let user):
      count = try end(.user(realm, names: Self.forms(of: user)))
      record(
        "sessions-closed", ("realm", .text(name)), ("user", words.user(Array(user.utf8))), ("closed", .number(count)))
    case .revoked:
      count = try end(.revoked(realm))
      record("sessions-closed", ("realm", .text(name)), ("closed", .number(count)))
    }
    return ["closed": .integer(Int64(count))]
  }

  /// The forms of a name that clients may send.
  private static func forms(of user: String) -> [[UInt8]] {
    let typed = Array(user.utf8)
    guard let prepared = try? PreparedText(typed) else { return [typed] }
    return Array(Set([typed, prepared.opaqueString, prepared.saslprep]))
  }

  /// The longest time to end sessions. With twice `longestSettling` it is less than the 15 s that `turnpike` waits for
  /// an answer.
  private static let longestEnding = Duration.seconds(6)

  /// Ends the selected sessions of all shards, a bounded part at a time.
  func end(_ selection: SessionSelection) throws(AdminFailure) -> Int {
    let deadline = Instant.read().advanced(by: Self.longestEnding)
    var closed = 0
    for shard in shards.indices {
      var position: UInt32? = 0
      while let from = position {
        guard Instant.read() < deadline else {
          throw .unavailable("\(closed) sessions are closed, and there may be more: repeat the request")
        }
        guard case .endedSelected(let count, let next) = try ask(shard, .endSelected(selection, from: from)) else {
          break
        }
        closed += count
        position = next
      }
    }
    return closed
  }

  /// The longest wait for the store's thread, which may wait for a lock of the store, and for the main thread.
  private static let longestSettling = Duration.seconds(4)

  /// Waits until the shards have been sent the present content of a realm's store.
  private func settle(_ realm: RealmID) throws(AdminFailure) {
    if let service = stores.first(where: { $0.realms[realm] != nil }) {
      let number = nextNumber()
      guard service.look(number, settled) else { throw .unavailable("too many requests wait for the store") }
      try wait(for: number, "the credential store does not answer")
    }
    let number = nextNumber()
    guard orders.post(.settle(number, settled)) else { throw .unavailable("the main thread is too busy") }
    try wait(for: number, "the main thread does not answer")
  }

  private func wait(for number: UInt64, _ problem: String) throws(AdminFailure) {
    let deadline = Instant.read().advanced(by: Self.longestSettling)
    while true {
      let now = Instant.read()
      guard now < deadline else { throw .unavailable(problem) }
      settled.wait(for: deadline.duration(since: now))
      if settled.takeAll().contains(number) { return }
    }
  }

  /// The number of a realm that the server has.
  func number(ofRealm name: String) throws(AdminFailure) -> RealmID {
    guard let index = realmNames.firstIndex(of: name) else {
      throw .notFound("there is no realm \(name.debugDescription)")
    }
    return RealmID(rawValue: UInt8(truncatingIfNeeded: index))
  }

  // MARK: - The log

  /// Limit of log lines about changes in ten seconds.
  private static let linesOfChanges: UInt64 = 1000

  var words: PrivacyText { PrivacyText(privacy: log.privacy) }

  /// Logs what an operator has changed.
  func record(_ change: String, _ fields: Log.Field...) {
    log.limited(
      .info, "admin-change", source: "api", burst: Self.linesOfChanges, [("change", .text(change))] + fields)
  }
}
