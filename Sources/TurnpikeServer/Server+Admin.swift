internal import Admin
internal import Configuration
internal import Log
internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TLS
internal import TURN
internal import WebServer

/// The running admin endpoint.
struct AdminEndpoint {
  var service: AdminService
  var view: AdminView
  /// The certificate of HTTPS; nil for HTTP.
  var certificate: CertificateChoice?
  var threads: [Thread]
}

/// The admin endpoint, and operators' requests to the main thread.
extension Server {
  /// Starts the endpoint. If the default address is in use, the server starts without the endpoint; with a configured
  /// address or the demo page the start fails.
  func startAdmin(_ engine: DataPlane.Engine) throws(StartFailure) {
    let address = settings.admin.listen
    guard address != .none else { return }
    let isDefault = settings.admin.listen == Settings.AdminSection().listen
    do throws(AdminUnavailable) {
      let view: AdminView
      do throws(Errno) { view = try AdminView(self, engine: engine, orders: orders) } catch {
        throw AdminUnavailable(reason: "\(error)")
      }
      let certificate = address.isRemote ? certificate.map { CertificateChoice($0.context) } : nil
      let service = try makeAdmin(address, certificate, view)
      let confinement = host.confinement
      // The address is bound: from here on no thread needs more capabilities, and new threads inherit the reduced set.
      confinement?.confineThread()
      var threads: [Thread] = []
      do throws(Errno) {
        threads.append(
          // This thread computes the TLS handshakes of any client: on a busy core shards have priority.
          try Thread(name: "admin") {
            Thread.lowerPriority()
            confinement?.confineThread()
            service.serve()
          })
        threads.append(
          try Thread(name: "admin-work") {
            Thread.lowerPriority()
            confinement?.confineThread()
            service.carryOut()
          })
      } catch {
        throw AdminUnavailable(reason: "cannot start a thread: \(error)")
      }
      view.resumeCapture()
      admin = AdminEndpoint(service: service, view: view, certificate: certificate, threads: threads)
      updateAdmin()
      log.info("admin", ("address", .text("\(address)")), ("tls", address.isRemote ? "on" : "off"))
    } catch {
      let problem = "cannot serve the admin endpoint on \(address): \(error.reason)"
      // After an upgrade the server continues without its admin endpoint: live calls matter more.
      guard isDefault && !settings.admin.demo || succession != nil else {
        throw .failed("\(problem) (`admin.listen`)")
      }
      log.warning(
        "admin-unavailable", ("problem", .text(problem)), ("effect", "there are no metrics and no health checks"),
        ("remedy", "set admin.listen to a free address, or to \"\" for none"))
    }
  }

  private struct AdminUnavailable: Error { var reason: String }

  private func makeAdmin(
    _ address: AdminAddress, _ certificate: CertificateChoice?, _ view: AdminView
  ) throws(AdminUnavailable) -> AdminService {
    var options: HTTPServer.Options
    do throws(Errno) {
      if succession != nil { waitForAdmin(address) }
      switch address {
      case .address(let address):
        try PortProbe.check(address, isStream: true)
        options = HTTPServer.Options(.address("\(address.address)", port: address.port))
      case .unixSocket(let path):
        try UnixListenerPath.prepare(path)
        options = HTTPServer.Options(.unixSocket(path))
      case .none: throw .noSuchFile
      }
    } catch {
      throw AdminUnavailable(reason: "\(error)")
    }
    options.certificate = certificate
    options.memory = AdminMemory(memory: state.strangersMemory)
    options.report = { view.countLimit($0, $1) }
    if address.isRemote, certificate == nil { throw AdminUnavailable(reason: "there is no certificate") }
    do throws(AdminService.Failure) {
      let service = try AdminService(
        options, token: settings.admin.token, roomSecret: settings.admin.demo ? roomSecret : nil, server: view)
      if let path = address.unixSocket { try restrict(path) }
      return service
    } catch {
      switch error {
      case .cannotListen: throw AdminUnavailable(reason: "the address cannot be bound")
      case .system(let error): throw AdminUnavailable(reason: "\(error)")
      }
    }
  }

  /// Waits until the older process has answered the operator and ended its endpoint; at most five seconds.
  private func waitForAdmin(_ address: AdminAddress) {
    let deadline = Instant.read().advanced(by: .seconds(5))
    while Instant.read() < deadline {
      do throws(Errno) {
        switch address {
        case .address(let address): try PortProbe.checkOnce(address, isStream: true)
        case .unixSocket(let path): try UnixListenerPath.prepare(path)
        case .none: break
        }
        return
      } catch {
        Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
      }
    }
  }

  /// Starts the thread that sends events; returns its access to the shards, which start later.
  func startEvents() throws(StartFailure) -> SessionPages? {
    guard !settings.events.webhook.isEmpty else { return nil }
    do throws(Errno) {
      let pages = try SessionPages(realmNames: realmNames)
      let sender = try EventSender(pages, log: log)
      let confinement = host.confinement
      let first = EventSender.Settings(settings.events)
      eventThread = try Thread(name: "events") {
        Thread.lowerPriority()
        confinement?.confineThread()
        sender.run(first)
      }
      events = sender
      return pages
    } catch {
      throw .failed("cannot start a thread: \(error)")
    }
  }

  private func restrict(_ path: String) throws(AdminService.Failure) {
    do throws(Errno) { try UnixListenerPath.restrict(path) } catch { throw .system(error) }
  }

  /// Gives the endpoint and the event thread the present facts.
  func updateAdmin() {
    events?.use(EventSender.Settings(settings.events))
    guard let admin else { return }
    admin.view.facts.withLock { facts in
      facts.settings = settings
      facts.isDraining = state.isDraining
      facts.relayed = state.relayed.entries
      facts.addressChanges = told.changes
      facts.upgrades = state.upgrades
      facts.storeSecrets = state.storeContents.mapValues(\.secrets)
      facts.certificate = certificate.map { AdminView.CertificateFacts($0.summary) }
    }
    admin.service.setToken(settings.admin.token)
    admin.service.setOrigins(settings.admin.allowOrigins)
    if let certificate { admin.certificate?.use(certificate.context) }
  }

  func takeOrders() {
    for order in orders.takeAll() {
      switch order {
      case .drain where chores.stopsAt == nil: drain(after: .terminate)
      case .drain: break
      case .settle(let number, let answers):
        takeShardReports()
        answers.post(number)
      case .reload(let number, let answers):
        chores.waiting.append { answers.post(AdminView.ReloadAnswer(number: number, problem: $0)) }
        reload()
      case .upgrade(let number, let answers):
        beginUpgrade { answers.post(AdminView.UpgradeAnswer(number: number, outcome: $0)) }
      }
    }
  }
}

extension EventSender.Settings {
  init(_ section: Settings.EventsSection) {
    self.init(url: section.webhook, secret: section.secret, usageInterval: section.usageInterval)
  }
}
