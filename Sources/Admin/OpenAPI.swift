internal import JSON
internal import WebServer

/// The OpenAPI 3.1 document of the API, made from the table of routes.
enum OpenAPI {
  static var document: JSONValue {
    let paths = Dictionary(grouping: Route.all, by: \.path)
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "Turnpike", "version": "1",
        "description": "Sessions, state and credentials of a running Turnpike server.",
      ],
      "paths": .object(
        paths.sorted { $0.key < $1.key }.map { path, routes in
          JSONValue.Member(path, .object(routes.map { .init($0.method.rawValue.lowercased(), operation($0)) }))
        }),
      "components": [
        "securitySchemes": ["token": ["type": "http", "scheme": "bearer"]],
        "schemas": Schemas.all,
      ],
    ]
  }

  private static func operation(_ route: Route) -> JSONValue {
    var members: [JSONValue.Member] = [.init("summary", .string(route.summary))]
    let parameters = route.parameters.filter { $0.location != "body" }
    if !parameters.isEmpty {
      members.append(
        .init(
          "parameters",
          .array(
            parameters.map { parameter in
              [
                "name": .string(parameter.name), "in": .string(parameter.location),
                "required": .bool(parameter.location == "path" || parameter.isRequired),
                "description": .string(parameter.text), "schema": ["type": .string(parameter.type)],
              ]
            })))
    }
    if let body = body(route) { members.append(.init("requestBody", body)) }
    if route.access != .open { members.append(.init("security", [["token": []]])) }
    var success: JSONValue = ["description": "success"]
    if let schema = route.schema {
      success = [
        "description": "success",
        "content": ["application/json": ["schema": ["$ref": .string("#/components/schemas/\(schema)")]]],
      ]
    }
    let failure: JSONValue = [
      "description": "refused, with the reason",
      "content": ["application/json": ["schema": ["$ref": "#/components/schemas/Error"]]],
    ]
    members.append(
      .init(
        "responses", .object([.init(String(route.success), success), .init("default", failure)])))
    return .object(members)
  }

  /// The schema of a request's JSON object; nil if the request has none.
  private static func body(_ route: Route) -> JSONValue? {
    let members = route.parameters.filter { $0.location == "body" }
    guard !members.isEmpty else { return nil }
    let schema: JSONValue = [
      "type": "object",
      "required": .array(members.filter(\.isRequired).map { .string($0.name) }),
      "properties": .object(
        members.map { .init($0.name, ["type": .string($0.type), "description": .string($0.text)]) }),
      "additionalProperties": false,
    ]
    return ["required": true, "content": ["application/json": ["schema": schema]]]
  }
}

/// The schemas of the answers.
enum Schemas {
  static let all: JSONValue = [
    "Error": object(["error": string]),
    "UserList": userList,
    "NewUser": object(["name": string, "realm": string], optional: ["password": string]),
    "SecretList": secretList,
    "NewSecret": object(["id": integer, "realm": string], optional: ["secret": string]),
    "BanList": banList,
    "Ban": object(["address": string, "closed": integer]),
    "Closed": object(["closed": integer]),
    "Session": session,
    "SessionList": object(
      ["sessions": ["type": "array", "items": ["$ref": "#/components/schemas/Session"]]], optional: ["next": string]),
    "Status": status,
    "Upgrade": object([
      "process": integer, "allocations": integer, "relays": integer, "connections": integer, "kept": integer,
      "gap-us": integer,
    ]),
    "History": history,
    "IceServers": object([
      "iceServers": [
        "type": "array",
        "items": object(["urls": ["type": "array", "items": string], "username": string, "credential": string]),
      ]
    ]),
    "OpenAPI": ["type": "object"],
    "Capture": object(["id": string, "messages": integer, "left-out": integer, "running": boolean]),
  ]

  static let string: JSONValue = ["type": "string"]
  static let integer: JSONValue = ["type": "integer"]
  static let number: JSONValue = ["type": "number"]
  static let boolean: JSONValue = ["type": "boolean"]

  static let traffic = object(["packets": integer, "bytes": integer])

  static let session = object(
    [
      "id": string, "user": string, "realm": string, "client": string, "transport": string, "relayed": string,
      "relay-transport": string, "seconds": integer, "expires-in": integer, "permissions": integer,
      "channels": integer, "peer-connections": integer, "to-peers": traffic, "to-client": traffic,
      "drops": ["type": "object", "additionalProperties": integer], "quality": quality,
    ], optional: ["second-relayed": string])

  static let media = object(
    ["basis": string],
    optional: ["packets": integer, "lost": integer, "late": integer, "duplicates": integer, "jitter-us": integer])

  static let quality = object(
    [:], optional: ["from-client": media, "from-peers": media, "round-trip-us": integer])

  static let status = object([
    "version": string, "started": string, "seconds": integer, "state": string, "engine": string, "allocations": integer,
    "shards": [
      "type": "array", "items": object(["allocations": integer, "connections": integer, "processor-seconds": number]),
    ],
    "listeners": ["type": "array", "items": string], "relay-addresses": ["type": "array", "items": string],
    "relay-ports": string,
    "certificate": object(
      [:], optional: ["subject": string, "expires": string, "names": ["type": "array", "items": string]]),
    "stores": ["type": "array", "items": object(["realms": ["type": "array", "items": string], "is-open": boolean])],
    "to-peers": traffic, "to-clients": traffic,
  ])

  /// An object whose named members are required, except optional ones; it has no other members.
  static func object(
    _ required: KeyValuePairs<String, JSONValue>, optional: KeyValuePairs<String, JSONValue> = [:]
  ) -> JSONValue {
    let members = required.map { JSONValue.Member($0.key, $0.value) } + optional.map { .init($0.key, $0.value) }
    return [
      "type": "object", "required": .array(required.map { .string($0.key) }), "properties": .object(members),
      "additionalProperties": false,
    ]
  }
}
