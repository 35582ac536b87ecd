internal import JSON
internal import WebServer

/// Bans of client addresses.
extension Route {
  static let bans: [Route] = [
    Route(
      method: .get, path: "/api/v1/bans", summary: "the banned client addresses; a restart forgets them",
      schema: "BanList"
    ) { _, server throws(AdminFailure) in
      HTTPResponse(json: try server.bans())
    },
    Route(
      method: .post, path: "/api/v1/bans",
      summary: "bans a client address or prefix: its requests get no answer, its connections are closed",
      parameters: [
        Parameter(
          name: "address", location: "body", type: "string", text: "an IP address, or a prefix such as 192.0.2.0/24",
          isRequired: true),
        Parameter(name: "ttl", location: "body", type: "integer", text: "seconds of the ban; default: no end"),
        Parameter(name: "reason", location: "body", type: "string", text: "a text of up to 200 bytes"),
        Parameter(
          name: "close", location: "body", type: "boolean",
          text: "true: also ends the live allocations of these clients"),
      ], schema: "Ban", success: 201
    ) { call, server throws(AdminFailure) in
      HTTPResponse(201, json: try server.addBan(try BanToAdd(call)))
    },
    Route(
      method: .delete, path: "/api/v1/bans", summary: "removes a ban",
      parameters: [
        Parameter(
          name: "address", location: "query", type: "string", text: "the address or prefix as it was banned",
          isRequired: true)
      ], success: 204
    ) { call, server throws(AdminFailure) in
      try server.removeBan(call.request[parameter: "address"] ?? "")
      return .done
    },
  ]
}

extension BanToAdd {
  init(_ call: Route.Call) throws(AdminFailure) {
    address = call.text("address") ?? ""
    reason = call.text("reason") ?? ""
    closes = call.body["close"] == .bool(true)
    if let number = call.body["ttl"]?.integer {
      duration = try Duration(operator: number, upTo: Self.longest, "ttl is a whole number of seconds")
    }
  }
}

extension Schemas {
  static let banList = object([
    "bans": [
      "type": "array",
      "items": object(["address": string, "added": string, "reason": string], optional: ["expires-in": integer]),
    ]
  ])
}
