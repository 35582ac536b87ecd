extension Page {
  /// The files of the demo page. They have no data of the server; its WebSocket and its credentials need a key.
  static let demo = [
    Page(path: "/demo", contentType: "text/html; charset=utf-8", body: PackageResources.demo_html, isDemo: true),
    Page(path: "/demo/demo.css", contentType: "text/css; charset=utf-8", body: PackageResources.demo_css, isDemo: true),
    script("access.js", PackageResources.access_js),
    script("candidates.js", PackageResources.candidates_js),
    script("check.js", PackageResources.check_js),
    script("demo.js", PackageResources.demo_js),
    script("line.js", PackageResources.line_js),
    script("media.js", PackageResources.media_js),
    script("modes.js", PackageResources.modes_js),
    script("panels.js", PackageResources.panels_js),
    script("peer.js", PackageResources.peer_js),
    script("plot.js", PackageResources.plot_js),
    script("qr.js", PackageResources.qr_js),
    script("record.js", PackageResources.record_js),
    script("room.js", PackageResources.room_js),
    script("session.js", PackageResources.session_js),
    script("signal.js", PackageResources.signal_js),
    script("stats.js", PackageResources.stats_js),
    script("transfer.js", PackageResources.transfer_js),
  ]

  private static func script(_ name: String, _ body: [UInt8]) -> Page {
    Page(path: "/demo/\(name)", contentType: "text/javascript; charset=utf-8", body: body, isDemo: true)
  }
}
