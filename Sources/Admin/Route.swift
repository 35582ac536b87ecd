internal import JSON
internal import WebServer

/// One operation of the admin endpoint, with its part of the OpenAPI document.
struct Route: Sendable {
  enum Access: Sendable {
    /// Health checks: without a token.
    case open
    /// Needs the token, if there is one.
    case operators
  }

  /// A request, and the parts of its path that the route names in braces.
  struct Call: Sendable {
    var request: HTTPRequest
    var parts: [String: String] = [:]
  }

  typealias Action = @Sendable (Call, any ServerView) throws(AdminFailure) -> HTTPResponse

  var method: HTTPRequest.Method
  /// The path, with names in braces: `/api/v1/sessions/{id}`.
  var path: String
  var access = Access.operators
  /// Whether it may wait for shards or stores: then it runs on the worker's thread.
  var mayWait = true
  var summary: String
  var parameters: [Parameter] = []
  /// The name of the response's schema in the OpenAPI document; nil for text and for 204.
  var schema: String?
  var success: UInt32 = 200
  var action: Action

  struct Parameter: Sendable {
    var name: String
    var place: String
    var type: String
    var text: String
  }

  /// Refuses parameters that the operation does not have: a misspelt filter must not show everything.
  func checkQuery(of request: HTTPRequest) throws(AdminFailure) {
    let names = parameters.filter { $0.place == "query" }.map(\.name)
    for parameter in request.query where !names.contains(parameter.name) {
      throw .invalid(
        "the parameter \(parameter.name.debugDescription) is unknown; "
          + (names.isEmpty ? "there are none here" : "there are \(names.joined(separator: ", "))"))
    }
  }

  /// The parts of a path that match; nil if the path is another one.
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

extension HTTPResponse {
  /// A JSON document.
  init(_ status: UInt32 = 200, json: JSONValue) {
    self.init(status, "application/json", Array((json.encode() + "\n").utf8))
  }

  init(_ failure: AdminFailure) { self.init(failure.status, json: ["error": .string(failure.reason)]) }

  /// The answer without a body.
  static let done = HTTPResponse(204, "application/json", [])
}
