public import JSON
internal import NetworkTypes

/// A message of a client to the server. All are JSON objects with a `type`.
public enum RoomMessage: Equatable, Sendable {
  /// The first message: enters a room. `info` describes the member to the others.
  case join(room: String, key: String, info: JSONValue)
  /// Data for one member, or for all others of the room.
  case send(to: UInt64?, data: JSONValue)
  /// The heartbeat.
  case ping

  /// The reason why a message is refused, for the developer of the client.
  public struct Malformed: Error, Equatable, Sendable {
    public var reason: String
  }

  /// Limit of nested objects and arrays.
  static let depthLimit = 12
  /// Limit of `info` in bytes of JSON.
  static let infoLimit = 1024

  public init(_ bytes: [UInt8], sizeLimit: Int) throws(Malformed) {
    let document: JSONValue
    do throws(JSONError) {
      document = try JSONValue.decode(bytes, sizeLimit: sizeLimit, depthLimit: Self.depthLimit)
    } catch {
      throw Malformed(reason: "the message is no JSON document: \(error)")
    }
    guard case .object(let members) = document else { throw Malformed(reason: "a message must be a JSON object") }
    switch document["type"]?.string {
    case "join":
      try Self.check(members, ["type", "room", "key", "info"])
      guard let room = document["room"]?.string, let key = document["key"]?.string else {
        throw Malformed(reason: "join needs room and key, both strings")
      }
      let info = document["info"] ?? .object([])
      guard case .object = info, info.encode().utf8.count <= Self.infoLimit else {
        throw Malformed(reason: "info must be an object of at most \(Self.infoLimit) bytes")
      }
      self = .join(room: room, key: key, info: info)
    case "send":
      try Self.check(members, ["type", "to", "data"])
      guard let data = document["data"] else { throw Malformed(reason: "send needs data") }
      self = .send(to: try Self.receiver(document["to"]), data: data)
    case "ping":
      try Self.check(members, ["type"])
      self = .ping
    default:
      throw Malformed(reason: "type must be join, send or ping")
    }
  }

  private static func receiver(_ value: JSONValue?) throws(Malformed) -> UInt64? {
    guard let value, value != .null else { return nil }
    guard let number = value.integer, number > 0 else {
      throw Malformed(reason: "to must be the id of a member, or absent for all")
    }
    return UInt64(number)
  }

  private static func check(_ members: [JSONValue.Member], _ names: [String]) throws(Malformed) {
    for member in members where !names.contains(member.name) {
      throw Malformed(reason: "a message of this type has \(names.joined(separator: ", ")) and nothing else")
    }
  }
}

/// Messages of the server to a client.
enum RoomAnswer {
  static func welcome(_ id: UInt64, others: [(id: UInt64, info: JSONValue)], heartbeat: Duration) -> [UInt8] {
    let list = others.map { other -> JSONValue in ["id": number(other.id), "info": other.info] }
    return bytes([
      "type": "welcome", "id": number(id), "members": .array(list),
      "heartbeat": .integer(Int64(heartbeat.wholeSeconds)),
    ])
  }

  static func joined(_ id: UInt64, info: JSONValue) -> [UInt8] {
    bytes(["type": "joined", "id": number(id), "info": info])
  }

  /// - Parameter isSilent: whether the member sent nothing for too long; else its connection has ended.
  static func left(_ id: UInt64, isSilent: Bool) -> [UInt8] {
    bytes(["type": "left", "id": number(id), "reason": isSilent ? "silent" : "closed"])
  }

  static func message(from id: UInt64, data: JSONValue) -> [UInt8] {
    bytes(["type": "message", "from": number(id), "data": data])
  }

  static let pong = bytes(["type": "pong"])

  static func refused(_ reason: String) -> [UInt8] { bytes(["type": "refused", "reason": .string(reason)]) }

  private static func number(_ id: UInt64) -> JSONValue { .integer(Int64(clamping: id)) }

  private static func bytes(_ document: JSONValue) -> [UInt8] { Array(document.encode().utf8) }
}
