import JSON
import NetworkTypes

@testable import Rooms

/// The rooms of the demo page: each line of an input is a step. Its first byte chooses the connection, the second the
/// action: `+` opens a connection, `-` closes it, `*` joins a room, `t` lets time pass; else the line is a message.
enum RoomFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    let keys = RoomKeys(secret: [1])
    var limits = RoomLimits()
    limits.connections = 6
    limits.rooms = 2
    limits.members = 3
    limits.messageSize = .bytes(2048)
    var rooms = Rooms(limits: limits, keys: keys)
    var open: Set<UInt64> = []
    var members: Set<UInt64> = []
    var last: UInt64 = 0
    var now = Instant(nanoseconds: 1)
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true).prefix(200) {
      let choice = UInt64(line[line.startIndex]) % 8
      let kind = line.count > 1 ? line[line.startIndex + 1] : 0
      let sorted = open.sorted()
      let id = sorted.isEmpty ? 0 : sorted[Int(choice) % sorted.count]
      let actions: [Rooms.Action]
      switch kind {
      case UInt8(ascii: "+"):
        last += 1
        open.insert(last)
        actions = rooms.opened(last, now: now)
      case UInt8(ascii: "-"):
        open.remove(id)
        members.remove(id)
        actions = rooms.closed(id)
      case UInt8(ascii: "*"):
        actions = rooms.received(Self.join(room: choice % 3 == 0 ? "a" : "b", keys), from: id, now: now)
      case UInt8(ascii: "t"):
        now = now.advanced(by: .seconds(UInt32(choice) * 5))
        actions = sorted.flatMap { rooms.check($0, now: now) }
      default: actions = rooms.received(Array(line.dropFirst()), from: id, now: now)
      }
      if let problem = take(actions, &open, &members) { return problem }
      guard rooms.connectionCount <= limits.connections, rooms.roomCount <= limits.rooms else { return "over a limit" }
      guard rooms.connectionCount <= open.count else { return "connections that are gone are kept" }
    }
    for id in open { _ = rooms.closed(id) }
    return rooms.connectionCount == 0 && rooms.roomCount == 0 ? nil : "rooms without connections are kept"
  }

  private static func join(room: String, _ keys: RoomKeys) -> [UInt8] {
    Array("{\"type\":\"join\",\"room\":\"\(room)\",\"key\":\"\(keys.key(of: room))\"}".utf8)
  }

  private static func take(
    _ actions: [Rooms.Action], _ open: inout Set<UInt64>, _ members: inout Set<UInt64>
  ) -> String? {
    for action in actions {
      switch action {
      case .send(let id, let text):
        guard open.contains(id) else { return "a message for a connection that is gone" }
        guard case .object? = try? JSONValue.decode(text), !text.contains(UInt8(ascii: "\n")) else {
          return "a message that is no JSON object"
        }
        guard members.contains(id) || !String(decoding: text, as: UTF8.self).contains("\"type\":\"message\"") else {
          return "a message of a room for a stranger"
        }
      case .admit(let id):
        guard members.insert(id).inserted else { return "admitted twice" }
      case .close(let id, _):
        guard open.remove(id) != nil else { return "closed twice" }
        members.remove(id)
      }
    }
    return nil
  }
}
