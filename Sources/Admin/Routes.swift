internal import JSON
internal import Metrics
internal import WebServer

/// All operations of the admin endpoint.
extension Route {
  static let all = health + sessions + captures + users + secrets + bans + server + history

  private static let health: [Route] = [
    Route(
      method: .get, path: "/healthz", access: .open, mayWait: false,
      summary: "200 while all threads of the server work, also while it drains"
    ) { _, server throws(AdminFailure) in
      if let problem = server.health.problem { throw .unavailable(problem) }
      return HTTPResponse(200, text: "ok")
    },
    Route(
      method: .get, path: "/readyz", access: .open,
      summary: "200 while new allocations are possible: an allocation of the server's own relays to itself"
    ) { _, server throws(AdminFailure) in
      if let problem = server.health.problem { throw .unavailable(problem) }
      if server.health.isDraining { throw .unavailable("the server drains") }
      try server.probe()
      return HTTPResponse(200, text: "ready")
    },
    Route(
      method: .get, path: "/metrics", access: .open, mayWait: false, summary: "metrics, as OpenMetrics if Accept has it"
    ) {
      call, server throws(AdminFailure) in
      let wantsOpenMetrics = call.request.accept?.contains("application/openmetrics-text") ?? false
      let format = wantsOpenMetrics ? MetricsText.Format.openMetrics : .prometheus
      return HTTPResponse(200, format.contentType, server.metrics(format))
    },
  ]

  /// The parameters of a list that is answered in pages.
  static let page = [
    Parameter(
      name: "limit", location: "query", type: "integer", text: "the length of the page, 1 to 500; default 100"),
    Parameter(name: "after", location: "query", type: "string", text: "next of the previous page"),
  ]

  private static let sessions: [Route] = [
    Route(
      method: .get, path: "/api/v1/sessions", summary: "live allocations",
      parameters: [
        Parameter(
          name: "user", location: "query", type: "string",
          text: "the user; for a time-limited name the part after the colon is enough"),
        Parameter(name: "client", location: "query", type: "string", text: "the client's IP address"),
        Parameter(name: "transport", location: "query", type: "string", text: "udp, tcp, tls or dtls"),
      ] + page, schema: "SessionList"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.sessions(try SessionQuery(call.request)))
    },
    Route(
      method: .delete, path: "/api/v1/sessions",
      summary: "ends all allocations of a user, or those with credentials of removed secrets",
      parameters: [
        Parameter(name: "user", location: "query", type: "string", text: "the whole name of the user"),
        Parameter(
          name: "revoked", location: "query", type: "boolean",
          text: "true: those of time-limited names that no present secret of the realm has signed"),
        Parameter(name: "realm", location: "query", type: "string", text: "another realm than the default one"),
      ], schema: "Closed"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.endSessions(try SessionsToEnd(call)))
    },
    Route(
      method: .get, path: "/api/v1/sessions/{id}", summary: "one live allocation", parameters: [id], schema: "Session"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.session(call.parts["id"] ?? ""))
    },
    Route(
      method: .delete, path: "/api/v1/sessions/{id}", summary: "ends an allocation", parameters: [id], success: 204
    ) { call, server throws(AdminFailure) in
      try server.endSession(call.parts["id"] ?? "")
      return .done
    },
  ]

  private static let id = Parameter(name: "id", location: "path", type: "string", text: "the id of the session")

  private static let server: [Route] = [
    Route(method: .get, path: "/api/v1/status", summary: "the state of the server", schema: "Status") {
      _, server throws(AdminFailure) in
      HTTPResponse(json: try server.status())
    },
    Route(
      method: .get, path: "/api/v1/configuration",
      summary: "the effective configuration as YAML, secrets redacted: what turnpike check prints"
    ) { _, server throws(AdminFailure) in
      HTTPResponse(200, "application/yaml", Array(try server.configuration().utf8))
    },
    Route(
      method: .post, path: "/api/v1/drain",
      summary: "refuses new allocations; the server ends with the last one, or after drain-timeout", success: 204
    ) { _, server throws(AdminFailure) in
      try server.drain()
      return .done
    },
    Route(method: .post, path: "/api/v1/reload", summary: "reads configuration and certificates again", success: 204) {
      _, server throws(AdminFailure) in
      try server.reload()
      return .done
    },
    Route(
      method: .post, path: "/api/v1/upgrade",
      summary: "starts the program once more and hands live allocations over to it; 409 if this process goes on",
      schema: "Upgrade"
    ) { _, server throws(AdminFailure) in
      HTTPResponse(json: try server.upgrade())
    },
    Route(
      method: .post, path: "/api/v1/credentials", takesOrigins: true,
      summary: "iceServers with a time-limited credential, for a back end to hand to its clients",
      parameters: [
        Parameter(name: "user", location: "query", type: "string", text: "the user of the credential"),
        Parameter(name: "ttl", location: "query", type: "integer", text: "the lifetime in seconds; default 86400"),
        Parameter(name: "realm", location: "query", type: "string", text: "another realm than the default one"),
      ], schema: "IceServers"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.credentials(try CredentialsQuery(call.request)))
    },
    Route(
      method: .get, path: "/api/v1/openapi.json", mayWait: false, summary: "this interface as OpenAPI 3.1",
      schema: "OpenAPI"
    ) { _, _ throws(AdminFailure) in
      HTTPResponse(json: OpenAPI.document)
    },
  ]
}

extension SessionQuery {
  init(_ request: HTTPRequest) throws(AdminFailure) {
    user = request[parameter: "user"]
    client = request[parameter: "client"]
    transport = request[parameter: "transport"]
    after = request[parameter: "after"]
    if let page = try request.pageLength(upTo: Self.longestPage) { limit = page }
  }
}

extension HTTPRequest {
  /// The parameter `limit`: the length of a page; nil without it.
  func pageLength(upTo longest: Int) throws(AdminFailure) -> Int? {
    guard let text = self[parameter: "limit"] else { return nil }
    guard let number = Int(text), (1...longest).contains(number) else {
      throw .invalid("limit must be a whole number from 1 to \(longest)")
    }
    return number
  }
}

extension Duration {
  /// The whole seconds that an operator names, from one second to `longest`.
  init(operator number: Int64?, upTo longest: Duration, _ rule: String) throws(AdminFailure) {
    let most = longest.components.seconds
    guard let number, (1...most).contains(number) else { throw .invalid("\(rule) from 1 to \(most)") }
    self = .seconds(number)
  }
}

extension CredentialsQuery {
  init(_ request: HTTPRequest) throws(AdminFailure) {
    user = request[parameter: "user"]
    realm = request[parameter: "realm"]
    if let text = request[parameter: "ttl"] {
      lifetime = try Duration(operator: Int64(text), upTo: Self.longest, "ttl is a whole number of seconds")
    }
  }
}
