internal import JSON
internal import Rooms
internal import WebServer

/// The route that the demo page uses before a call. It is no part of the API for operators.
extension Route {
  static func roomAccess(_ keys: RoomKeys) -> Route {
    Route(
      method: .get, path: "/demo/access", access: .guests,
      summary: "iceServers for the demo page, and the key of a room",
      parameters: [
        Parameter(
          name: "room", location: "query", type: "string",
          text: "the room of an operator; a guest, with Authorization: Room NAME.KEY, gets only that room")
      ]
    ) { call, server throws(AdminFailure) in
      let asked = call.request[parameter: "room"] ?? "demo"
      let room = call.request.authorization.flatMap { keys.room(ofAuthorization: $0) } ?? asked
      guard RoomKeys.isName(room) else {
        throw .invalid("room must have 1 to \(RoomKeys.longestName) letters, digits, hyphens and underscores")
      }
      var document = try server.demoAccess(room: room)
      if case .object(let members) = document {
        document = .object(
          members + [.init("room", .string(room)), .init("key", .string(keys.key(of: room)))])
      }
      return HTTPResponse(json: document)
    }
  }
}
