import JSON
import NetworkTypes
import Testing

@testable import Rooms

/// Rooms whose actions are compared as short texts, one line for each.
struct World {
  var rooms: Rooms
  let keys = RoomKeys(secret: [UInt8](repeating: 7, count: 32))
  var now = Instant(nanoseconds: 1_000_000_000)

  init(_ change: (inout RoomLimits) -> Void = { _ in }) {
    var limits = RoomLimits()
    change(&limits)
    rooms = Rooms(limits: limits, keys: keys)
  }

  static func describe(_ actions: [Rooms.Action]) -> [String] {
    actions.map { action in
      switch action {
      case .send(let id, let text): "\(id) \(String(decoding: text, as: UTF8.self))"
      case .admit(let id): "\(id) admit"
      case .close(let id, let closing): "\(id) close \(closing.rawValue)"
      }
    }
  }

  mutating func open(_ id: UInt64) -> [String] { Self.describe(rooms.opened(id, now: now)) }

  mutating func send(_ id: UInt64, _ text: String) -> [String] {
    Self.describe(rooms.received(Array(text.utf8), from: id, now: now))
  }

  func joining(_ room: String, key: String? = nil, info: String = "{}") -> String {
    "{\"type\":\"join\",\"room\":\"\(room)\",\"key\":\"\(key ?? keys.key(of: room))\",\"info\":\(info)}"
  }

  /// A new member of a room.
  mutating func enter(_ id: UInt64, _ room: String = "a", info: String = "{}") -> [String] {
    open(id) + send(id, joining(room, info: info))
  }

  mutating func wait(_ seconds: UInt32) { now = now.advanced(by: .seconds(seconds)) }

  mutating func check(_ id: UInt64) -> [String] { Self.describe(rooms.check(id, now: now)) }
}

@Suite("Rooms of the demo page")
struct RoomsTests {
  @Test(
    "Members are told of each other, of those who join and of those who leave, but not of the members of another room")
  func membership() {
    var world = World()
    #expect(
      world.enter(1, info: "{\"name\":\"Ann\"}") == [
        "1 admit", "1 {\"type\":\"welcome\",\"id\":1,\"members\":[],\"heartbeat\":15}",
      ])
    #expect(
      world.enter(2, "b") == [
        "2 admit", "2 {\"type\":\"welcome\",\"id\":2,\"members\":[],\"heartbeat\":15}",
      ])
    #expect(
      world.enter(3, info: "{\"name\":\"Bob\"}") == [
        "3 admit",
        "3 {\"type\":\"welcome\",\"id\":3,\"members\":[{\"id\":1,\"info\":{\"name\":\"Ann\"}}],\"heartbeat\":15}",
        "1 {\"type\":\"joined\",\"id\":3,\"info\":{\"name\":\"Bob\"}}",
      ])
    #expect(world.rooms.roomCount == 2 && world.rooms.connectionCount == 3)
    #expect(World.describe(world.rooms.closed(1)) == ["3 {\"type\":\"left\",\"id\":1,\"reason\":\"closed\"}"])
    #expect(World.describe(world.rooms.closed(3)) == [])
    #expect(World.describe(world.rooms.closed(3)) == [])
    #expect(world.rooms.roomCount == 1 && world.rooms.connectionCount == 1)
  }

  @Test("A message goes to one member or to all others, never to another room or back")
  func messages() {
    var world = World()
    for id in [1, 2, 3] as [UInt64] { _ = world.enter(id) }
    _ = world.enter(4, "b")
    #expect(
      world.send(1, "{\"type\":\"send\",\"data\":{\"x\":[1,null]}}") == [
        "2 {\"type\":\"message\",\"from\":1,\"data\":{\"x\":[1,null]}}",
        "3 {\"type\":\"message\",\"from\":1,\"data\":{\"x\":[1,null]}}",
      ])
    #expect(
      world.send(1, "{\"type\":\"send\",\"to\":3,\"data\":\"y\"}") == [
        "3 {\"type\":\"message\",\"from\":1,\"data\":\"y\"}"
      ])
    for receiver in ["1", "4", "99"] {
      #expect(world.send(1, "{\"type\":\"send\",\"to\":\(receiver),\"data\":1}") == [])
    }
    #expect(world.send(4, "{\"type\":\"ping\"}") == ["4 {\"type\":\"pong\"}"])
  }

  static let malformed: [(String, String)] = [
    ("", "the message is no JSON document: line 1: '[' or '{' expected near end of file"),
    ("[]", "a message must be a JSON object"), ("{}", "type must be join, send or ping"),
    ("{\"type\":\"shout\"}", "type must be join, send or ping"), ("{\"type\":7}", "type must be join, send or ping"),
    ("{\"type\":\"ping\",\"x\":1}", "a message of this type has type and nothing else"),
    ("{\"type\":\"send\"}", "send needs data"),
    ("{\"type\":\"send\",\"to\":0,\"data\":1}", "to must be the id of a member, or absent for all"),
    ("{\"type\":\"send\",\"to\":-1,\"data\":1}", "to must be the id of a member, or absent for all"),
    ("{\"type\":\"send\",\"to\":\"2\",\"data\":1}", "to must be the id of a member, or absent for all"),
    ("{\"type\":\"join\"}", "join needs room and key, both strings"),
    ("{\"type\":\"join\",\"room\":1,\"key\":\"k\"}", "join needs room and key, both strings"),
    (
      "{\"type\":\"join\",\"room\":\"a\",\"key\":\"k\",\"info\":[]}",
      "info must be an object of at most 1024 bytes"
    ),
    (
      "{\"type\":\"send\",\"data\":" + String(repeating: "[", count: 12) + String(repeating: "]", count: 12) + "}",
      "the message is no JSON document: the JSON document has too many levels"
    ),
  ]

  @Test("A malformed message closes its sender with the reason; the others are told that it left", arguments: malformed)
  func refused(text: String, reason: String) {
    var world = World()
    _ = world.enter(1)
    _ = world.enter(2)
    let answer = world.send(2, text)
    #expect(answer.count == 3 && answer[0].hasPrefix("2 {\"type\":\"refused\",\"reason\":\""))
    if !text.isEmpty { #expect(answer[0].contains(reason)) }
    #expect(answer[1...] == ["2 close 4400", "1 {\"type\":\"left\",\"id\":2,\"reason\":\"closed\"}"])
    // Later messages of the closed connection have no effect.
    #expect(world.send(2, "{\"type\":\"ping\"}") == [] && world.check(2) == [])
  }

  @Test("Only the key of the room opens it")
  func keys() {
    var world = World()
    let right = world.keys.key(of: "a")
    #expect(right.utf8.count == RoomKeys.length && right != world.keys.key(of: "b"))
    #expect(right != RoomKeys(secret: [UInt8](repeating: 8, count: 32)).key(of: "a"))
    for (id, key) in ["", String(right.dropLast()), right + "A", world.keys.key(of: "b")].enumerated() {
      let id = UInt64(id + 1)
      _ = world.open(id)
      let answer = world.send(id, world.joining("a", key: key))
      #expect(answer.count == 2 && answer[1] == "\(id) close 4403")
    }
    #expect(world.rooms.roomCount == 0 && world.rooms.connectionCount == 0)
    #expect(world.keys.room(ofAuthorization: "Room a.\(right)") == "a")
    #expect(world.keys.room(ofAuthorization: "room a.\(right)") == "a")
    for wrong in ["", "Room ", "Room a", "Room a.", "Room b.\(right)", "Room a.\(right).x", "Bearer a.\(right)"] {
      #expect(world.keys.room(ofAuthorization: wrong) == nil)
    }
    for name in ["", "a b", "a.b", "ä", "a/b", String(repeating: "a", count: 41)] { #expect(!RoomKeys.isName(name)) }
    #expect(RoomKeys.isName("A-z_09") && RoomKeys.isName(String(repeating: "a", count: 40)))
  }

  @Test("A second join, and a message before the first, close the connection")
  func order() {
    var world = World()
    _ = world.enter(1)
    #expect(world.send(1, world.joining("b")).last == "1 close 4400")
    _ = world.open(2)
    #expect(world.send(2, "{\"type\":\"send\",\"data\":1}").last == "2 close 4400")
  }
}

@Suite("Limits of the rooms")
struct RoomLimitTests {
  @Test("Connections, rooms and members have limits, and a member that leaves makes room")
  func counts() {
    var world = World {
      $0.connections = 4
      $0.rooms = 2
      $0.members = 2
    }
    _ = world.enter(1)
    _ = world.enter(2)
    #expect(world.enter(3).last == "3 close 4503")
    _ = world.enter(4, "b")
    #expect(world.enter(5, "c").last == "5 close 4503")
    _ = world.open(6)
    #expect(world.open(7).last == "7 close 4503" && world.rooms.connectionCount == 4)
    _ = world.rooms.closed(1)
    #expect(world.send(6, world.joining("a")).first == "6 admit")
  }

  @Test("A sender of too many messages or bytes is closed; its budget grows with time")
  func rates() {
    var world = World {
      $0.messageRate = 10
      $0.messageBurst = 20
    }
    _ = world.enter(1)
    for _ in 0..<19 { #expect(world.send(1, "{\"type\":\"ping\"}").count == 1) }
    world.wait(1)
    for _ in 0..<10 { #expect(world.send(1, "{\"type\":\"ping\"}").count == 1) }
    #expect(world.send(1, "{\"type\":\"ping\"}").last == "1 close 4429")

    var heavy = World { $0.burst = .bytes(900) }
    _ = heavy.enter(1)
    let text = "{\"type\":\"send\",\"data\":\"\(String(repeating: "x", count: 900))\"}"
    #expect(heavy.send(1, text).last == "1 close 4429")
  }

  @Test("A message to all counts once for each receiver, so that one sender cannot fill the queues of a room")
  func fanOut() {
    let text = "{\"type\":\"send\",\"data\":\"\(String(repeating: "x", count: 1000))\"}"
    var world = World {
      $0.burst = .bytes(10_000)
      $0.rate = ByteRate(perSecond: .bytes(1000))
    }
    for id in [1, 2, 3, 4, 5] as [UInt64] { _ = world.enter(id) }
    // Two of 4 × 1,025 bytes fit besides the join, and a third one does not.
    for _ in 0..<2 { #expect(world.send(1, text).count == 4) }
    #expect(world.send(1, text)[1] == "1 close 4429")
    // A message to one member counts once.
    for _ in 0..<9 { #expect(world.send(2, text.replacing("\"data\"", with: "\"to\":3,\"data\"")).count == 1) }
    #expect(world.send(3, "{\"type\":\"ping\"}") == ["3 {\"type\":\"pong\"}"])
  }

  @Test("A message longer than the limit closes its sender")
  func size() {
    var world = World { $0.messageSize = .bytes(200) }
    _ = world.enter(1)
    let text = "{\"type\":\"send\",\"data\":\"\(String(repeating: "x", count: 200))\"}"
    #expect(world.send(1, text).last == "1 close 4400")
  }

  @Test("A connection that does not join, and a member that falls silent, are closed in time")
  func silence() {
    var world = World()
    _ = world.open(1)
    _ = world.enter(2)
    _ = world.enter(3)
    world.wait(9)
    #expect(world.check(1) == [] && world.check(2) == [])
    // Messages before join do not lengthen the time.
    _ = world.send(1, "{\"type\":\"ping\"}")
    world.wait(1)
    #expect(world.check(1).last == "1 close 4408")
    world.wait(34)
    #expect(world.send(3, "{\"type\":\"ping\"}").count == 1)
    world.wait(1)
    let answer = world.check(2)
    #expect(answer.count == 3 && answer[1] == "2 close 4408")
    #expect(answer[2] == "3 {\"type\":\"left\",\"id\":2,\"reason\":\"silent\"}")
    #expect(world.check(3) == [] && world.check(2) == [])
  }
}
