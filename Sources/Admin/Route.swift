internal import JSON
internal import WebServer

/// One operation of the admin endpoint, with its part of the OpenAPI document.
struct Route: Sendable {
  enum Access: Sendable {
    /// Needs no token: health checks and metrics.
    case open
    /// Needs the token, if there is one.
    case operators
    /// Needs the token, and is refused without one unless the endpoint is a Unix socket: the operation gives lasting
    /// access, and every local user reaches a loopback address.
    case keepers
    /// Needs the token, if there is one, or the key of a room of the demo page.
    case guests
  }

  /// A request, and the parts of its path that the route names in braces.
  struct Call: Sendable {
    var request: HTTPRequest
    var parts: [String: String] = [:]
    /// The members of the request's JSON object, checked against the route's parameters.
    var body: [String: JSONValue] = [:]
  }

  typealias Action = @Sendable (Call, any ServerView) throws(AdminFailure) -> HTTPResponse

  var method: HTTPRequest.Method
  /// The path, with names in braces: `/api/v1/sessions/{id}`.
  var path: String
  var access = Access.operators
  /// Whether it may wait for shards or stores: then it runs on the worker's thread.
  var mayWait = true
  /// Whether pages of the origins in `admin.allow-origins` may make this request.
  var takesOrigins = false
  var summary: String
  var parameters: [Parameter] = []
  /// The name of the response's schema in the OpenAPI document; nil for text and for 204.
  var schema: String?
  var success: UInt32 = 200
  var action: Action

  struct Parameter: Sendable {
    var name: String
    /// `path`, `query` or `body`.
    var location: String
    /// The JSON type: `string`, `integer` or `boolean`.
    var type: String
    var text: String
    var isRequired = false
  }

  /// Refuses parameters that the operation does not have, because a misspelt filter would select everything. Reads the
  /// body, if the operation has one.
  func check(_ call: inout Call) throws(AdminFailure) {
    let names = names(in: "query")
    for parameter in call.request.query where !names.contains(parameter.name) {
      throw Self.unknown("parameter", parameter.name, names)
    }
    for parameter in parameters where parameter.location == "query" && parameter.isRequired {
      guard call.request[parameter: parameter.name]?.isEmpty == false else {
        throw .invalid("the parameter \(parameter.name) is missing: \(parameter.text)")
      }
    }
    if !self.names(in: "body").isEmpty { call.body = try readBody(call.request.body) }
  }

  private func names(in location: String) -> [String] { parameters.filter { $0.location == location }.map(\.name) }

  private static func unknown(_ what: String, _ name: String, _ names: [String]) -> AdminFailure {
    .invalid(
      "the \(what) \(name.debugDescription) is unknown; "
        + (names.isEmpty ? "this request has none" : "this request has \(names.joined(separator: ", "))"))
  }

  private func readBody(_ bytes: [UInt8]) throws(AdminFailure) -> [String: JSONValue] {
    let document: JSONValue
    do throws(JSONError) { document = try JSONValue.decode(bytes, sizeLimit: 1 << 16, depthLimit: 4) } catch {
      throw .invalid("the body is no JSON document: \(error)")
    }
    guard case .object(let members) = document else { throw .invalid("the body must be a JSON object") }
    var body: [String: JSONValue] = [:]
    for member in members {
      guard let parameter = parameters.first(where: { $0.location == "body" && $0.name == member.name }) else {
        throw Self.unknown("member", member.name, names(in: "body"))
      }
      guard parameter.fits(member.value) else { throw .invalid("\(member.name) must be of type \(parameter.type)") }
      body[member.name] = member.value
    }
    for parameter in parameters
    where parameter.location == "body" && parameter.isRequired && body[parameter.name] == nil {
      throw .invalid("the member \(parameter.name) is missing: \(parameter.text)")
    }
    return body
  }

  /// The parts of a path for the names in braces; nil if the path does not match.
  func match(_ path: String) -> [String: String]? {
    let pattern = self.path.split(separator: "/", omittingEmptySubsequences: false)
    let words = path.split(separator: "/", omittingEmptySubsequences: false)
    guard pattern.count == words.count else { return nil }
    var parts: [String: String] = [:]
    for (expected, word) in zip(pattern, words) {
      if expected.hasPrefix("{") {
        if word.isEmpty { return nil }
        parts[String(expected.dropFirst().dropLast())] = String(word)
      } else if expected != word {
        return nil
      }
    }
    return parts
  }
}

extension Route.Parameter {
  fileprivate func fits(_ value: JSONValue) -> Bool {
    switch (type, value) {
    case ("string", .string), ("integer", .integer), ("boolean", .bool): true
    default: false
    }
  }
}

extension Route.Call {
  /// A text of the body.
  func text(_ name: String) -> String? { body[name]?.string }

  /// `true` or `false` in the query; false without it.
  func flag(_ name: String) throws(AdminFailure) -> Bool {
    switch request[parameter: name] {
    case nil, "false": return false
    case "true": return true
    default: throw .invalid("\(name) must be true or false")
    }
  }
}

extension HTTPResponse {
  /// A JSON document.
  init(_ status: UInt32 = 200, json: JSONValue) {
    self.init(status, "application/json", Array((json.encode() + "\n").utf8))
  }

  init(_ failure: AdminFailure) { self.init(failure.status, json: ["error": .string(failure.reason)]) }

  /// An answer without a body.
  static let done = HTTPResponse(204, "application/json", [])
}
