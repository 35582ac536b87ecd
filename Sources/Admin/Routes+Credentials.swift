internal import JSON
internal import NetworkTypes
internal import WebServer

/// Users and secrets.
extension Route {
  private static let realm = Parameter(
    name: "realm", location: "query", type: "string", text: "another realm than the default one")
  private static let realmOfBody = Parameter(
    name: "realm", location: "body", type: "string", text: "another realm than the default one")
  private static let realmOfList = Parameter(
    name: "realm", location: "query", type: "string", text: "only this realm; default: every realm")
  private static let close = Parameter(
    name: "close", location: "query", type: "boolean", text: "true: also ends the live allocations of the credential")

  static let users: [Route] = [
    Route(
      method: .get, path: "/api/v1/users",
      summary:
        "the users of the configuration, which cannot be changed here, and of the stores; never keys or passwords",
      parameters: [
        realmOfList
      ] + page, schema: "UserList"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.users(try UserQuery(call.request)))
    },
    Route(
      method: .post, path: "/api/v1/users", access: .keepers,
      summary: "stores a new user; without a password the server makes one, and only this answer has it",
      parameters: [
        Parameter(name: "name", location: "body", type: "string", text: "the name of the user", isRequired: true),
        Parameter(name: "password", location: "body", type: "string", text: "the password"), realmOfBody,
      ], schema: "NewUser", success: 201
    ) { call, server throws(AdminFailure) in
      let user = UserToAdd(
        name: call.text("name") ?? "", realm: call.text("realm"), password: call.text("password"))
      return HTTPResponse(201, json: try server.addUser(user))
    },
    Route(
      method: .post, path: "/api/v1/users/password", access: .keepers,
      summary: "changes a user's password in the store; without one the server makes it, and only this answer has it",
      parameters: [
        Parameter(name: "name", location: "body", type: "string", text: "the name of the user", isRequired: true),
        Parameter(name: "password", location: "body", type: "string", text: "the new password"), realmOfBody,
      ], schema: "NewUser"
    ) { call, server throws(AdminFailure) in
      let user = UserToAdd(
        name: call.text("name") ?? "", realm: call.text("realm"), password: call.text("password"))
      return HTTPResponse(json: try server.changePassword(user))
    },
    Route(
      method: .delete, path: "/api/v1/users", access: .keepers, summary: "removes a user from the store",
      parameters: [
        Parameter(name: "name", location: "query", type: "string", text: "the name of the user", isRequired: true),
        realm, close,
      ], schema: "Closed"
    ) { call, server throws(AdminFailure) in
      let user = UserToRemove(
        name: call.request[parameter: "name"] ?? "", realm: call.request[parameter: "realm"],
        closes: try call.flag("close"))
      return HTTPResponse(json: try server.removeUser(user))
    },
  ]

  static let secrets: [Route] = [
    Route(
      method: .get, path: "/api/v1/secrets",
      summary: "the secrets of time-limited credentials, of the configuration and the stores, without their content",
      parameters: [realmOfList], schema: "SecretList"
    ) { call, server throws(AdminFailure) in
      HTTPResponse(json: try server.secrets(realm: call.request[parameter: "realm"]))
    },
    Route(
      method: .post, path: "/api/v1/secrets", access: .keepers,
      summary: "stores a shared secret; without one the server makes it, and only this answer has it",
      parameters: [
        Parameter(name: "secret", location: "body", type: "string", text: "the secret"), realmOfBody,
      ], schema: "NewSecret", success: 201
    ) { call, server throws(AdminFailure) in
      let secret = SecretToAdd(realm: call.text("realm"), secret: call.text("secret"))
      return HTTPResponse(201, json: try server.addSecret(secret))
    },
    Route(
      method: .delete, path: "/api/v1/secrets/{id}", access: .keepers, summary: "removes a secret from the store",
      parameters: [
        Parameter(name: "id", location: "path", type: "string", text: "the number of the secret"), realm, close,
      ], schema: "Closed"
    ) { call, server throws(AdminFailure) in
      guard let id = UInt64(decimalDigits: call.parts["id"] ?? "") else {
        throw .invalid("the id of a secret must be a whole number")
      }
      let secret = SecretToRemove(
        id: id, realm: call.request[parameter: "realm"], closes: try call.flag("close"))
      return HTTPResponse(json: try server.removeSecret(secret))
    },
  ]
}

extension UserQuery {
  init(_ request: HTTPRequest) throws(AdminFailure) {
    realm = request[parameter: "realm"]
    after = request[parameter: "after"]
    if let page = try request.pageLength(upTo: Self.longestPage) { limit = page }
  }
}

extension SessionsToEnd {
  init(_ call: Route.Call) throws(AdminFailure) {
    let realm = call.request[parameter: "realm"]
    let user = call.request[parameter: "user"]
    switch (user, try call.flag("revoked")) {
    case (let user?, false) where !user.isEmpty: self.init(kind: .user(user), realm: realm)
    case (nil, true): self.init(kind: .revoked, realm: realm)
    default: throw .invalid("the request needs either user, or revoked=true, which select the sessions")
    }
  }
}

extension Schemas {
  private static let source: JSONValue = ["type": "string", "enum": ["configuration", "store"]]

  static let userList = object(
    [
      "users": [
        "type": "array",
        "items": object(["name": string, "realm": string, "source": source], optional: ["added": string]),
      ]
    ], optional: ["next": string])

  static let secretList = object([
    "secrets": [
      "type": "array",
      "items": object(["realm": string, "source": source], optional: ["id": integer, "added": string]),
    ]
  ])
}
