internal import JSON
public import NetworkTypes

/// The rooms of the demo page: they carry the signalling of its calls between the members of a room.
///
/// A state machine without sockets and clocks: inputs return the actions that follow from them, in order. A member of a
/// room gets a message about each member that joins or leaves, and sends to one of the others or to all.
public struct Rooms: Sendable {
  /// Identifies a connection; the caller chooses the number and never uses it again.
  public typealias ConnectionID = UInt64

  /// An action that the caller carries out.
  public enum Action: Equatable, Sendable {
    case send(ConnectionID, [UInt8])
    /// The connection has shown the key of a room and is a member now.
    case admit(ConnectionID)
    /// Closes a connection after the messages that were sent to it before. The caller need not call `closed`.
    case close(ConnectionID, Closing)
  }

  /// The reason why the server closes a connection, as the code of a WebSocket (RFC 6455 section 7.4.2, private use).
  public enum Closing: UInt16, Equatable, Sendable {
    /// 4400: a malformed message, or one that is not allowed at this point.
    case malformed = 4400
    /// 4403: the key is not the room's.
    case wrongKey = 4403
    /// 4408: the client sent nothing for too long.
    case silent = 4408
    /// 4429: more messages or bytes than allowed.
    case tooFast = 4429
    /// 4503: the server or the room is full.
    case full = 4503
  }

  private struct Member {
    var room: String?
    var info: JSONValue = .object([])
    var messages: SendingBudget
    var bytes: SendingBudget
    /// The time at which the connection is closed. In a room each message postpones it; without a room only `join`
    /// does.
    var deadline: Instant
  }

  public let limits: RoomLimits
  private let keys: RoomKeys
  private var members: [ConnectionID: Member] = [:]
  /// The members of each room, in the order in which they joined. No list is empty.
  private var rooms: [String: [ConnectionID]] = [:]

  public init(limits: RoomLimits = RoomLimits(), keys: RoomKeys) {
    self.limits = limits
    self.keys = keys
  }

  public var connectionCount: Int { members.count }
  public var roomCount: Int { rooms.count }

  // MARK: - Inputs

  /// Handles a new connection.
  public mutating func opened(_ id: ConnectionID, now: Instant) -> [Action] {
    guard members.count < limits.connections else {
      return Self.refuse(id, .full, "the limit of \(limits.connections) connections is reached: try again later")
    }
    members[id] = Member(
      messages: SendingBudget(rate: limits.messageRate, burst: limits.messageBurst, now: now),
      bytes: SendingBudget(rate: Int(limits.rate.perSecond), burst: Int(limits.burst), now: now),
      deadline: now.advanced(by: limits.joinTimeout))
    return []
  }

  /// Handles a message: one whole text.
  public mutating func received(_ bytes: [UInt8], from id: ConnectionID, now: Instant) -> [Action] {
    guard var member = members[id] else { return [] }
    guard member.messages.take(1, now: now), member.bytes.take(bytes.count, now: now) else {
      return removeTooFast(id)
    }
    if member.room != nil { member.deadline = now.advanced(by: limits.silence) }
    members[id] = member
    let message: RoomMessage
    do throws(RoomMessage.Malformed) { message = try RoomMessage(bytes, sizeLimit: Int(limits.messageSize)) } catch {
      return remove(id, .malformed, error.reason)
    }
    switch message {
    case .join(let room, let key, let info): return join(id, member, room: room, key: key, info: info, now: now)
    case .send(let receiver, let data):
      return send(from: id, member, to: receiver, data, size: bytes.count, now: now)
    case .ping: return [.send(id, RoomAnswer.pong)]
    }
  }

  /// Handles the end of a connection.
  public mutating func closed(_ id: ConnectionID) -> [Action] { leave(id, isSilent: false) }

  /// Checks the deadlines of one connection; the caller does so every few seconds.
  public mutating func check(_ id: ConnectionID, now: Instant) -> [Action] {
    guard let member = members[id], now >= member.deadline else { return [] }
    guard member.room != nil else {
      return remove(id, .silent, "the first message, join, did not come in \(limits.joinTimeout.wholeSeconds) s")
    }
    let others = leave(id, isSilent: true)
    return Self.refuse(id, .silent, "no message for \(limits.silence.wholeSeconds) s: send a ping at each heartbeat")
      + others
  }

  // MARK: - Rooms

  private mutating func join(
    _ id: ConnectionID, _ member: Member, room: String, key: String, info: JSONValue, now: Instant
  ) -> [Action] {
    guard member.room == nil else { return remove(id, .malformed, "this connection is in a room already") }
    guard keys.isKey(key, of: room) else {
      return remove(id, .wrongKey, "this is not the key of the room: links end when the server restarts")
    }
    let others = rooms[room] ?? []
    guard !others.isEmpty || rooms.count < limits.rooms else {
      return remove(id, .full, "the limit of \(limits.rooms) rooms is reached: try again later")
    }
    guard others.count < limits.members else {
      return remove(id, .full, "the room is full: it has \(limits.members) members")
    }
    members[id]?.room = room
    members[id]?.info = info
    members[id]?.deadline = now.advanced(by: limits.silence)
    rooms[room, default: []].append(id)
    let list = others.compactMap { other in members[other].map { (id: other, info: $0.info) } }
    let news = RoomAnswer.joined(id, info: info)
    return [.admit(id), .send(id, RoomAnswer.welcome(id, others: list, heartbeat: limits.heartbeat))]
      + others.map { .send($0, news) }
  }

  private mutating func send(
    from id: ConnectionID, _ member: Member, to receiver: ConnectionID?, _ data: JSONValue, size: Int, now: Instant
  ) -> [Action] {
    guard let room = member.room else { return remove(id, .malformed, "the first message must be join") }
    let text = RoomAnswer.message(from: id, data: data)
    guard let receiver else {
      let others = (rooms[room] ?? []).filter { $0 != id }
      // The bytes for the first receiver are charged already. Without a charge for the others one sender could fill the
      // queues of a whole room.
      let more = size * max(0, others.count - 1)
      guard members[id]?.bytes.take(more, now: now) == true else { return removeTooFast(id) }
      return others.map { .send($0, text) }
    }
    // A member may have left while the message was under way: no error.
    guard receiver != id, members[receiver]?.room == room else { return [] }
    return [.send(receiver, text)]
  }

  private mutating func leave(_ id: ConnectionID, isSilent: Bool) -> [Action] {
    guard let room = members.removeValue(forKey: id)?.room else { return [] }
    let others = (rooms[room] ?? []).filter { $0 != id }
    rooms[room] = others.isEmpty ? nil : others
    let news = RoomAnswer.left(id, isSilent: isSilent)
    return others.map { .send($0, news) }
  }

  private mutating func remove(_ id: ConnectionID, _ closing: Closing, _ reason: String) -> [Action] {
    let others = leave(id, isSilent: false)
    return Self.refuse(id, closing, reason) + others
  }

  private mutating func removeTooFast(_ id: ConnectionID) -> [Action] {
    remove(id, .tooFast, "more than \(limits.messageRate) messages or \(limits.rate.perSecond.rawValue) bytes a second")
  }

  private static func refuse(_ id: ConnectionID, _ closing: Closing, _ reason: String) -> [Action] {
    [.send(id, RoomAnswer.refused(reason)), .close(id, closing)]
  }
}
