internal import JSON
internal import WebServer

extension Route {
  static let history: [Route] = [
    Route(
      method: .get, path: "/api/v1/history", mayWait: false,
      summary: "the last hour: allocations, and bytes, drops and failed logins a second", schema: "History"
    ) { _, server throws(AdminFailure) in
      HTTPResponse(json: server.history())
    }
  ]
}

extension Schemas {
  static let history = object([
    "interval": integer, "end": string, "allocations": ["type": "array", "items": integer],
    "to-peers": numbers, "to-clients": numbers, "drops": numbers, "failed-logins": numbers,
  ])

  private static let numbers: JSONValue = ["type": "array", "items": number]
}
