internal import JSON
internal import Metrics
internal import NetworkTypes
internal import Synchronization
internal import WebServer

@testable internal import Admin

/// A server for tests of the router: it records its calls and answers with fixed values.
final class FakeServer: ServerView {
  struct State: Sendable {
    var health = Health(problem: nil, isDraining: false)
    var calls: [String] = []
    var failure: AdminFailure?
  }

  let state = Mutex(State())

  var calls: [String] { state.withLock { $0.calls } }

  func fail(_ failure: AdminFailure?) { state.withLock { $0.failure = failure } }

  private func record(_ call: String) throws(AdminFailure) {
    let failure = state.withLock { state in
      state.calls.append(call)
      return state.failure
    }
    if let failure { throw failure }
  }

  var health: Health { state.withLock { $0.health } }
  func metrics(_ format: MetricsText.Format) -> [UInt8] { Array("\(format)\n".utf8) }
  func takeSample() { state.withLock { $0.calls.append("sample") } }
  func recordRequest(after time: Duration) {}
  func history() -> JSONValue { History(History.Counts()).document(end: "2026-01-01T00:00:00Z") }
  func probe() throws(AdminFailure) { try record("probe") }
  func status() throws(AdminFailure) -> JSONValue {
    try record("status")
    return ["state": "ready"]
  }
  func sessions(_ query: SessionQuery) throws(AdminFailure) -> JSONValue {
    try record("sessions \(query.user ?? "-") \(query.client ?? "-") \(query.transport ?? "-") \(query.limit)")
    return ["sessions": []]
  }
  func session(_ id: String) throws(AdminFailure) -> JSONValue {
    try record("session \(id)")
    return ["id": .string(id)]
  }
  func endSession(_ id: String) throws(AdminFailure) { try record("end \(id)") }
  func endSessions(_ selection: SessionsToEnd) throws(AdminFailure) -> JSONValue {
    try record("end \(selection.kind) \(selection.realm ?? "-")")
    return ["closed": 2]
  }
  func users(_ query: UserQuery) throws(AdminFailure) -> JSONValue {
    try record("users \(query.realm ?? "-") \(query.after ?? "-") \(query.limit)")
    return ["users": []]
  }
  func addUser(_ user: UserToAdd) throws(AdminFailure) -> JSONValue {
    try record("add user \(user.name) \(user.realm ?? "-") \(user.password ?? "-")")
    return ["name": .string(user.name)]
  }
  func changePassword(_ user: UserToAdd) throws(AdminFailure) -> JSONValue {
    try record("password \(user.name) \(user.realm ?? "-") \(user.password ?? "-")")
    return ["name": .string(user.name)]
  }
  func removeUser(_ user: UserToRemove) throws(AdminFailure) -> JSONValue {
    try record("remove user \(user.name) \(user.realm ?? "-") \(user.closes)")
    return ["closed": 1]
  }
  func secrets(realm: String?) throws(AdminFailure) -> JSONValue {
    try record("secrets \(realm ?? "-")")
    return ["secrets": []]
  }
  func addSecret(_ secret: SecretToAdd) throws(AdminFailure) -> JSONValue {
    try record("add secret \(secret.realm ?? "-") \(secret.secret ?? "-")")
    return ["id": 1]
  }
  func removeSecret(_ secret: SecretToRemove) throws(AdminFailure) -> JSONValue {
    try record("remove secret \(secret.id) \(secret.realm ?? "-") \(secret.closes)")
    return ["closed": 0]
  }
  func demoAccess(room: String) throws(AdminFailure) -> JSONValue {
    try record("demo \(room)")
    return ["iceServers": []]
  }
  func bans() throws(AdminFailure) -> JSONValue {
    try record("bans")
    return ["bans": []]
  }
  func addBan(_ ban: BanToAdd) throws(AdminFailure) -> JSONValue {
    try record(
      "ban \(ban.address) \(ban.duration.map { "\($0.components.seconds)" } ?? "-") \(ban.reason) \(ban.closes)")
    return ["address": .string(ban.address), "closed": 0]
  }
  func removeBan(_ address: String) throws(AdminFailure) { try record("remove ban \(address)") }
  func startCapture(_ query: CaptureQuery) throws(AdminFailure) -> JSONValue {
    try record("capture \(query.user) \(query.duration.components.seconds)")
    return ["id": "1"]
  }
  func capture(_ id: String) throws(AdminFailure) -> [UInt8] {
    try record("capture \(id)")
    return [0x0A, 0x0D, 0x0D, 0x0A]
  }
  func endCapture(_ id: String) throws(AdminFailure) -> JSONValue {
    try record("end capture \(id)")
    return ["id": .string(id)]
  }
  func drain() throws(AdminFailure) { try record("drain") }
  func reload() throws(AdminFailure) { try record("reload") }
  func upgrade() throws(AdminFailure) -> JSONValue {
    try record("upgrade")
    return [
      "process": 7, "allocations": 1000, "relays": 1000, "connections": 2, "kept": 1, "gap-us": 9000,
    ]
  }
  func configuration() throws(AdminFailure) -> String {
    try record("configuration")
    return "realm: turnpike\n"
  }
  func credentials(_ query: CredentialsQuery) throws(AdminFailure) -> JSONValue {
    try record("credentials \(query.user ?? "-") \(query.lifetime.components.seconds) \(query.realm ?? "-")")
    return ["iceServers": []]
  }
}

extension Router {
  /// The answer to a request; a job is carried out at once.
  func answer(_ request: HTTPRequest, seconds: UInt64 = 100) -> HTTPResponse {
    switch route(request, now: .init(nanoseconds: seconds * 1_000_000_000)) {
    case .response(let response): response
    case .job(let job): carryOut(job)
    }
  }
}

extension HTTPResponse {
  var text: String { String(decoding: body, as: UTF8.self) }

  func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// A request as curl sends it.
func request(
  _ method: HTTPRequest.Method, _ path: String, _ query: [(String, String)] = [], token: String? = nil,
  type: String? = nil, host: String? = "127.0.0.1:8478", origin: String? = nil, accept: String? = nil,
  peer: String = "127.0.0.1", body: String = ""
) -> HTTPRequest {
  var request = HTTPRequest(method, path)
  request.query = query.map { HTTPField($0.0, $0.1) }
  request.authorization = token.map { "Bearer \($0)" }
  request.contentType = type ?? (method == .post ? "application/json" : nil)
  request.host = host
  request.origin = origin
  request.accept = accept
  request.peer = peer
  request.body = Array(body.utf8)
  return request
}
