internal import JSON
internal import WebServer

/// A file of the dashboard or of the demo page, which is a part of the program.
struct Page: Sendable {
  var path: String
  var contentType: String
  var body: [UInt8]
  /// Whether it is a file of the demo page.
  var isDemo = false

  /// The dashboard's files. They have no data of the server, so they need no token.
  static let all = [
    Page(path: "/", contentType: "text/html; charset=utf-8", body: PackageResources.index_html),
    Page(path: "/dashboard.css", contentType: "text/css; charset=utf-8", body: PackageResources.dashboard_css),
    Page(path: "/dashboard.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.dashboard_js),
    Page(path: "/chart.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.chart_js),
    Page(path: "/server.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.server_js),
    Page(path: "/words.js", contentType: "text/javascript; charset=utf-8", body: PackageResources.words_js),
    Page(path: "/favicon.svg", contentType: "image/svg+xml", body: PackageResources.favicon_svg),
  ]

  static func find(_ path: String) -> Page? { (all + demo).first { $0.path == path } }

  /// The Content-Security-Policy (CSP level 3): everything comes from this server, and no script is inside a page.
  static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  /// The demo page also plays recordings, which are blobs of its own, and uses camera, microphone and screen.
  private static let demoPolicy = policy + "; media-src 'self' blob:"
  private static let demoPermissions = "camera=(self), microphone=(self), display-capture=(self), geolocation=()"

  func answer(_ request: HTTPRequest) -> HTTPResponse {
    guard request.method == .get || request.method == .head else {
      return HTTPResponse(405, json: ["error": "this path has no such method"]).hardened
    }
    var response = HTTPResponse(200, contentType, body)
    response.headers = [
      .init("Content-Security-Policy", isDemo ? Self.demoPolicy : Self.policy), .init("Referrer-Policy", "no-referrer"),
      .init("X-Frame-Options", "DENY"),
    ]
    if isDemo { response.headers.append(.init("Permissions-Policy", Self.demoPermissions)) }
    return response.hardened
  }
}
