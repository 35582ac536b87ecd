internal import JSON
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// An event for the webhook.
struct ServerEvent: Sendable {
  enum Kind: Sendable {
    case opened(SessionRecord)
    case closed(SessionRecord, reason: String)
    /// The counts of a live session since it was opened.
    case usage(SessionRecord)
    case failedLogin(user: String, client: String, reason: String)
  }

  /// The number of the last event of this process. By start time and number a receiver recognizes duplicates.
  private static let lastNumber = Atomic<UInt64>(0)
  private static let start = Now.read().wall

  var number: UInt64
  var time: UnixTime
  var kind: Kind

  init(_ kind: Kind) {
    number = Self.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
    time = Now.read().wall
    self.kind = kind
  }

  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("id", .string("\(Self.start)-\(number)")), .init("type", .string(type)),
      .init("time", .string(CivilTime.text(time))),
    ]
    switch kind {
    case .opened(let session), .usage(let session): members.append(.init("session", session.json))
    case .closed(let session, let reason):
      members += [.init("session", session.json), .init("reason", .string(reason))]
    case .failedLogin(let user, let client, let reason):
      members += [
        .init("user", .string(user)), .init("client", .string(client)), .init("reason", .string(reason)),
      ]
    }
    return .object(members)
  }

  private var type: String {
    switch kind {
    case .opened: "allocation.opened"
    case .closed: "allocation.closed"
    case .usage: "allocation.usage"
    case .failedLogin: "auth.failed"
    }
  }
}

/// An allocation for operators, with names in place of numbers.
struct SessionRecord: Sendable {
  var id: String
  var realm: String
  var allocation: AllocationSummary

  var members: [JSONValue.Member] {
    var members: [JSONValue.Member] = [
      .init("id", .string(id)),
      .init("user", .string(String(decoding: allocation.username, as: UTF8.self))),
      .init("realm", .string(realm)),
      .init("client", .string("\(allocation.client)")),
      .init("transport", .string("\(allocation.transport)")),
      .init("relayed", .string("\(allocation.relayed)")),
    ]
    if let second = allocation.secondRelayed { members.append(.init("second-relayed", .string("\(second)"))) }
    members += [
      .init("relay-transport", .string("\(allocation.relayTransport)")),
      .init("seconds", AdminView.number(UInt64(allocation.age.wholeSeconds))),
      .init("to-peers", AdminView.traffic(allocation.toPeers)),
      .init("to-client", AdminView.traffic(allocation.toClient)),
      .init(
        "drops",
        .object(
          AllocationDrops.Kind.allCases.map { .init($0.word, AdminView.number(UInt64(allocation.drops[$0]))) })),
      .init("quality", allocation.quality.json),
    ]
    return members
  }

  var json: JSONValue { .object(members) }
}
