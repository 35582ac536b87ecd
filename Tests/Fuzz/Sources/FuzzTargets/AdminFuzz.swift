import JSON
import Metrics
import NetworkTypes
import Synchronization
import WebServer

@testable import Admin

/// Requests to the admin endpoint. The lines of an input are method, path, query, Authorization, Host, Origin,
/// Content-Type; the rest is the body.
enum AdminFuzz {
  private static let token = "secret"

  static func problem(with bytes: [UInt8]) -> String? {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 7, omittingEmptySubsequences: false)
    func line(_ index: Int) -> String { index < lines.count ? String(decoding: lines[index], as: UTF8.self) : "" }
    func header(_ index: Int) -> String? { line(index).isEmpty ? nil : line(index) }
    guard let method = HTTPRequest.Method(rawValue: line(0)) else { return nil }
    var request = HTTPRequest(method, line(1))
    for pair in line(2).split(separator: "&").prefix(16) {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      request.query.append(.init(String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
    }
    request.authorization = header(3)
    request.host = header(4)
    request.origin = header(5)
    request.contentType = header(6)
    if lines.count > 7 { request.body = Array(lines[7]) }
    return problem(request, token: token) ?? problem(request, token: "")
  }

  private static func problem(_ request: HTTPRequest, token: String) -> String? {
    let server = FuzzServer()
    let router = Router(token: token, server: server)
    let answer =
      switch router.route(request, now: Instant(nanoseconds: 1)) {
      case .response(let response): response
      case .job(let job): router.carryOut(job)
      }
    guard (200...599).contains(answer.status) else { return "status \(answer.status)" }
    guard answer.headers.contains(.init("X-Content-Type-Options", "nosniff")) else { return "no header of hardening" }
    for header in answer.headers where (header.name + header.value).contains(where: \.isNewline) {
      return "a header of two lines"
    }
    if answer.status >= 400, answer.contentType == "application/json", (try? JSONValue.decode(answer.body)) == nil {
      return "an error that is no JSON"
    }
    guard server.wasAsked.withLock({ $0 }) else { return nil }
    let isAllowed = token.isEmpty || request.authorization?.lowercased() == "bearer \(token)"
    if !isAllowed { return "carried out without the token" }
    if token.isEmpty, server.wasChanged.withLock({ $0 }) { return "users or secrets changed without a token" }
    if let origin = request.origin, !origin.hasSuffix("://\(request.host ?? "")") { return "for another origin" }
    return nil
  }
}

/// Answers everything with empty documents.
private final class FuzzServer: ServerView {
  /// Whether an operation that needs the token was carried out.
  let wasAsked = Mutex(false)

  /// Whether users or secrets were changed.
  let wasChanged = Mutex(false)

  private func record() -> JSONValue {
    wasAsked.withLock { $0 = true }
    return [:]
  }

  private func recordChange() -> JSONValue {
    wasChanged.withLock { $0 = true }
    return record()
  }

  var health: Health { Health(problem: nil, isDraining: false) }
  func metrics(_ format: MetricsText.Format) -> [UInt8] { [] }
  func takeSample() {}
  func recordRequest(after time: Duration) {}
  func history() -> JSONValue { record() }
  func probe() throws(AdminFailure) {}
  func status() throws(AdminFailure) -> JSONValue { record() }
  func sessions(_ query: SessionQuery) throws(AdminFailure) -> JSONValue { record() }
  func session(_ id: String) throws(AdminFailure) -> JSONValue { record() }
  func endSession(_ id: String) throws(AdminFailure) { _ = record() }
  func endSessions(_ selection: SessionsToEnd) throws(AdminFailure) -> JSONValue { record() }
  func users(_ query: UserQuery) throws(AdminFailure) -> JSONValue { record() }
  func addUser(_ user: UserToAdd) throws(AdminFailure) -> JSONValue { recordChange() }
  func changePassword(_ user: UserToAdd) throws(AdminFailure) -> JSONValue { recordChange() }
  func removeUser(_ user: UserToRemove) throws(AdminFailure) -> JSONValue { recordChange() }
  func secrets(realm: String?) throws(AdminFailure) -> JSONValue { record() }
  func addSecret(_ secret: SecretToAdd) throws(AdminFailure) -> JSONValue { recordChange() }
  func removeSecret(_ secret: SecretToRemove) throws(AdminFailure) -> JSONValue { recordChange() }
  func demoAccess(room: String) throws(AdminFailure) -> JSONValue { record() }
  func bans() throws(AdminFailure) -> JSONValue { record() }
  func addBan(_ ban: BanToAdd) throws(AdminFailure) -> JSONValue { record() }
  func removeBan(_ address: String) throws(AdminFailure) { _ = record() }
  func startCapture(_ query: CaptureQuery) throws(AdminFailure) -> JSONValue { record() }
  func capture(_ id: String) throws(AdminFailure) -> [UInt8] { Array("\(record())".utf8) }
  func endCapture(_ id: String) throws(AdminFailure) -> JSONValue { record() }
  func drain() throws(AdminFailure) { _ = record() }
  func reload() throws(AdminFailure) { _ = record() }
  func upgrade() throws(AdminFailure) -> JSONValue { record() }
  func configuration() throws(AdminFailure) -> String { "\(record())" }
  func credentials(_ query: CredentialsQuery) throws(AdminFailure) -> JSONValue { record() }
}
