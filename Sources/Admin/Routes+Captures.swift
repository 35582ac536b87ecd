internal import WebServer

/// Captures of one user's messages. They begin and end on the worker's thread, on which `takeSample` also ends old
/// captures, so that the end of a capture and the beginning of the next never run at the same time.
extension Route {
  static let captures: [Route] = [
    Route(
      method: .post, path: "/api/v1/captures",
      summary: "begins a capture of a user's STUN messages without secrets; 409 while another one runs",
      parameters: [
        Parameter(
          name: "user", location: "query", type: "string",
          text: "the user; for a time-limited name the part after the colon is enough"),
        Parameter(name: "seconds", location: "query", type: "integer", text: "the seconds, 1 to 600; default 60"),
      ], schema: "Capture"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.startCapture(try CaptureQuery(call.request)))
    },
    Route(
      method: .get, path: "/api/v1/captures/{id}", mayWait: false,
      summary: "the last capture as pcapng; 409 while it runs", parameters: [captureID]
    ) { call, server throws(AdminFailure) in
      HTTPResponse(200, "application/x-pcapng", try server.capture(call.parts["id"] ?? ""))
    },
    Route(
      method: .delete, path: "/api/v1/captures/{id}", summary: "ends a capture, which can still be read",
      parameters: [captureID], schema: "Capture"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.endCapture(call.parts["id"] ?? ""))
    },
  ]

  private static let captureID = Parameter(
    name: "id", location: "path", type: "string", text: "the id of the capture")
}

extension CaptureQuery {
  init(_ request: HTTPRequest) throws(AdminFailure) {
    guard let user = request[parameter: "user"], !user.isEmpty else { throw .invalid("a capture needs a user") }
    self.init(user: user)
    if let text = request[parameter: "seconds"] {
      duration = try Duration(operator: Int64(text), upTo: Self.longest, "seconds is a whole number")
    }
  }
}
