import Foundation
import JSON
import WebClient

/// Sends requests to a server's admin endpoint, as an operator's program does.
struct AdminClient {
  var url: String
  var token = ""
  var unixSocket: String?
  var authorities: String?
  /// Keeps the server running while this value is used.
  private var server: RunningServer?

  init(port: UInt16, of server: RunningServer) {
    url = "http://127.0.0.1:\(port)"
    self.server = server
  }

  init(url: String, unixSocket: String? = nil, token: String = "") {
    self.url = url
    self.unixSocket = unixSocket
    self.token = token
  }

  func ask(
    _ method: String, _ path: String, headers: [String] = [], body: String? = nil
  ) throws -> (status: Int, text: String) {
    guard let client = HTTPClient() else { throw CocoaError(.featureUnsupported) }
    var request = HTTPClient.Request(url: url + path)
    request.method = method
    request.unixSocket = unixSocket
    request.authorities = authorities
    request.headers = headers + (token.isEmpty ? [] : ["Authorization: Bearer \(token)"])
    if method == "POST" {
      request.headers.append("Content-Type: application/json")
      request.body = Array((body ?? "").utf8)
    }
    let answer = try client.send(request)
    return (answer.status, String(decoding: answer.body, as: UTF8.self))
  }

  /// The document of a successful GET.
  func document(_ path: String, _ method: String = "GET") throws -> JSONValue {
    let (status, text) = try ask(method, path)
    guard status == 200 else { throw Unexpected(status: status, text: text) }
    return try JSONValue.decode(text)
  }

  struct Unexpected: Error {
    var status: Int
    var text: String
  }

  /// The samples of the metrics, by name and labels as they are written.
  func metrics() throws -> [String: Double] {
    var samples: [String: Double] = [:]
    for line in try ask("GET", "/metrics").text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let space = line.lastIndex(of: " ") else { continue }
      samples[String(line[..<space])] = Double(line[line.index(after: space)...])
    }
    return samples
  }
}

/// Checks a document against the part of JSON Schema that the OpenAPI document uses.
struct SchemaCheck {
  let schemas: JSONValue

  /// The faults of a value, each with its place; empty if it fits.
  func faults(_ value: JSONValue, _ schema: JSONValue, at place: String = "$") -> [String] {
    if let name = schema["$ref"]?.string {
      guard let target = schemas[String(name.split(separator: "/").last ?? "")] else { return ["\(place): no \(name)"] }
      return faults(value, target, at: place)
    }
    switch (schema["type"]?.string, value) {
    case ("object", .object(let members)): return object(members, schema, place)
    case ("array", .array(let elements)):
      guard let items = schema["items"] else { return [] }
      return elements.enumerated().flatMap { faults($0.element, items, at: "\(place)[\($0.offset)]") }
    case ("string", .string), ("integer", .integer), ("number", .integer), ("number", .double), ("boolean", .bool):
      return []
    default: return ["\(place): \(value) is no \(schema["type"]?.string ?? "?")"]
    }
  }

  private func object(_ members: [JSONValue.Member], _ schema: JSONValue, _ place: String) -> [String] {
    var result: [String] = []
    let names = Set(members.map(\.name))
    for name in schema["required"]?.array?.compactMap(\.string) ?? [] where !names.contains(name) {
      result.append("\(place): no \(name)")
    }
    guard case .object(let properties)? = schema["properties"] else { return result }
    for member in members {
      if let property = properties.first(where: { $0.name == member.name }) {
        result += faults(member.value, property.value, at: "\(place).\(member.name)")
      } else if schema["additionalProperties"] == .bool(false) {
        result.append("\(place): \(member.name) is not in the schema")
      }
    }
    return result
  }
}
