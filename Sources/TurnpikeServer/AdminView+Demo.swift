internal import Admin
internal import Configuration
internal import Crypto
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// The demo page.
extension AdminView {
  /// The validity of a credential of the demo page.
  private static let demoLifetime = Duration.seconds(3600)

  func demoAccess(room: String) throws(AdminFailure) -> JSONValue {
    guard let demoSecret else { throw .conflict("the demo page is off: set admin.demo to true") }
    let settings = facts.withLock { $0.settings }
    let names = HostNames(settings)
    let username = "\(Now.read().wall.advanced(by: Self.demoLifetime)):demo-\(room)"
    let password = TimeLimitedCredential.password(username: Array(username.utf8), secret: demoSecret)
    let urls = IceServers.urls(
      listeners: settings.effectiveListeners, reachableAddresses: relayed.map(\.advertised), names: names)
    let servers = IceServers(
      urls: urls, username: username, credential: String(decoding: password, as: UTF8.self))
    return .object(
      [
        .init("iceServers", servers.document["iceServers"] ?? []),
        .init("seconds", Self.number(UInt64(Self.demoLifetime.wholeSeconds))),
        .init("has-turns", .bool(names.ofCertificate != nil)),
        .init("hosts", .array(relayed.map { .string("\($0.advertised)") })),
        .init("listeners", .array(listeners.map { .string("\($0.transport)://\($0.address)") })),
      ])
  }
}

extension Server {
  /// The URL of the demo page, without a room; nil if the page is off.
  var demoAddress: String? {
    guard settings.admin.demo, case .address(let address) = settings.admin.listen else { return nil }
    let scheme = settings.admin.listen.isRemote ? "https" : "http"
    return "\(scheme)://\(demoHost(address.address)):\(address.port)/demo"
  }

  /// The host in the link: the certificate's name, or an address that other devices reach; a loopback address stays.
  private func demoHost(_ bound: IPAddress) -> String {
    let names = settings.admin.listen.isRemote ? HostNames(settings) : HostNames()
    if let name = names.ofCertificate ?? names.everywhere { return name }
    let reachable = state.relayed.entries.map(\.advertised).first { $0.family == bound.family }
    let address = bound.isUnspecified ? reachable ?? bound : bound
    return address.family == .ipv6 ? "[\(address)]" : "\(address)"
  }

  /// Logs the URL of the demo page, without a key. `host.showDemo` prints the link of a room, with its key.
  func showDemo() {
    guard let admin, let address = demoAddress else { return }
    log.info("demo", ("url", .text(address)), ("effect", "the demo page and its rooms are on"))
    if let link = admin.service.roomLink("demo") { host.showDemo?(address + link) }
  }
}
