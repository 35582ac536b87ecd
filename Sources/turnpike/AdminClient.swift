internal import CommandLine
internal import Configuration
internal import JSON
internal import NetworkTypes
internal import System
internal import TLS
internal import TurnpikeServer
internal import WebClient

/// Asks the admin endpoint of a running server.
struct AdminClient {
  private let http: HTTPClient
  private var pattern: HTTPClient.Request
  /// The endpoint's name in messages.
  private let endpoint: String
  private let token: String

  /// Finds the endpoint: `--admin`, else `admin.listen` of the configuration.
  init(_ invocation: Invocation) throws(Failure) {
    guard let http = HTTPClient() else { throw .failed("not enough memory") }
    self.http = http
    if let url = invocation.arguments["--admin"] {
      endpoint = url
      pattern = try Self.request(url: url)
      if let given = Environment.variables()[Self.tokenVariable] {
        token = given
      } else {
        token = try invocation.configuration().settings.admin.token
      }
    } else {
      let settings = try invocation.configuration().settings
      endpoint = "\(settings.admin.listen)"
      token = settings.admin.token
      pattern = try Self.request(settings)
    }
  }

  private static let tokenVariable = "TURNPIKE_ADMIN_TOKEN"

  private static func request(url: String) throws(Failure) -> HTTPClient.Request {
    if let path = url.hasPrefix("unix:") ? url.dropFirst(5) : nil, path.hasPrefix("/") {
      var request = HTTPClient.Request(url: "http://localhost")
      request.unixSocket = String(path)
      return request
    }
    guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
      throw .usage("--admin \(url.debugDescription) is no endpoint", hint: "write http://IP:PORT or unix:/PATH")
    }
    return HTTPClient.Request(url: url.hasSuffix("/") ? String(url.dropLast()) : url)
  }

  /// The endpoint that a server with these settings has.
  private static func request(_ settings: Settings) throws(Failure) -> HTTPClient.Request {
    switch settings.admin.listen {
    case .none: throw .failed("the server has no admin endpoint: admin.listen is empty")
    case .unixSocket(let path): return try request(url: "unix:\(path)")
    case .address(var address):
      if address.address.isUnspecified {
        address = SocketAddress(address.address.family == .ipv4 ? .ipv4Loopback : .ipv6Loopback, port: address.port)
      }
      guard settings.admin.listen.isRemote else { return HTTPClient.Request(url: "http://\(address)") }
      var request = HTTPClient.Request(url: "https://\(address)")
      request.authorities = settings.tls.certificate.isEmpty ? selfSigned(settings) : settings.tls.certificate
      if let path = request.authorities, isSelfSigned(path) {
        // A self-signed certificate as the only authority allows no other certificate, so its names do not matter.
        request.checksName = false
      } else if let name = HostNames(settings).ofCertificate {
        request.url = "https://\(name):\(address.port)"
        request.connectsTo = "\(address)"
      }
      return request
    }
  }

  private static func selfSigned(_ settings: Settings) -> String? {
    StateDirectory.resolve(configured: settings.stateDirectory, environment: Environment.variables()).path.map {
      "\($0)/self-signed.pem"
    }
  }

  private static func isSelfSigned(_ path: String) -> Bool {
    guard let content = try? Files.readRegular(path) else { return false }
    return (try? CertificateSummary(firstOf: .bytes(content, name: path)))?.isSelfSigned ?? false
  }

  /// Sends a request; nil for an answer without a body.
  func ask(
    _ method: String, _ path: String, body: JSONValue? = nil, timeout: Duration = .seconds(15)
  ) throws(Failure) -> JSONValue? {
    let answer = try send(method, path, body: body, limit: 1 << 22, timeout: timeout)
    if answer.status == 204 { return nil }
    let document = try? JSONValue.decode(answer.body, sizeLimit: 1 << 22)
    if answer.status == 200 || answer.status == 201, let document { return document }
    throw failure(answer)
  }

  /// The body of a GET, which is no JSON.
  func fetch(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
    let answer = try send("GET", path, limit: limit)
    guard answer.status == 200 else { throw failure(answer) }
    return answer.body
  }

  private func send(
    _ method: String, _ path: String, body: JSONValue? = nil, limit: Int, timeout: Duration = .seconds(15)
  ) throws(Failure) -> HTTPClient.Answer {
    var request = pattern
    request.method = method
    request.url += path
    request.headers = ["Accept: application/json"]
    if !token.isEmpty { request.headers.append("Authorization: Bearer \(token)") }
    if method == "POST" {
      request.headers.append("Content-Type: application/json")
      request.body = Array((body?.encode() ?? "").utf8)
    }
    request.timeout = timeout
    request.answerLimit = limit
    do throws(HTTPClient.Failure) { return try http.send(request) } catch {
      throw .failed("no server answers at \(endpoint): \(error); does it run, with this admin.listen?")
    }
  }

  private func failure(_ answer: HTTPClient.Answer) -> Failure {
    let document = try? JSONValue.decode(answer.body, sizeLimit: 1 << 22)
    let reason = document?["error"]?.string.map(printable) ?? "HTTP status \(answer.status)"
    guard answer.status == 401 else { return .failed("the server at \(endpoint): \(reason)") }
    return .failed(
      "the server at \(endpoint) expects another token: set admin.token, or \(Self.tokenVariable) in the environment")
  }
}

/// A text from the network without characters that control a terminal.
func printable(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
