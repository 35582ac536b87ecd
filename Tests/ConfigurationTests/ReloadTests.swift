internal import NetworkTypes
internal import TLS
internal import Testing

@testable internal import Configuration
internal import TURN

@Suite("Reloading")
struct ReloadTests {
  private func merge(_ yaml: String, into running: String) -> (settings: Settings, waiting: [String]) {
    parse(yaml).settings.merged(into: parse(running).settings)
  }

  /// For each key that needs a restart, a value that is not the default.
  static let waiting = [
    "realm: other", "workers: 3", "engine: epoll", "state-directory: /elsewhere", "listeners: [udp://127.0.0.1:3478]",
    "relay.addresses: [127.0.0.1]", "relay.ports: 50000-50100",
    "auth.store: sqlite:other.db", "nat-discovery.primary: \"127.0.0.1:3478\"",
    "nat-discovery.alternate: \"127.0.0.2:3479\"", "limits.strangers-memory: 64M", "hardening.capabilities: false",
    "hardening.no-new-privileges: false", "hardening.seccomp: false", "hardening.landlock: false",
    "hardening.core-dumps: true", "auth.hook: https://app.example.org/", "auth.hook-secret: s",
    "events.webhook: https://app.example.org/", "admin.listen: 127.0.0.1:9000",
    "admin.demo: true",
  ]

  /// The text `a.b: c` as a YAML document.
  private func document(_ text: String) -> String {
    let parts = text.split(separator: ":", maxSplits: 1)
    let path = parts[0].split(separator: ".")
    return path.count == 1 ? text : "\(path[0]): { \(path[1]): \(parts[1]) }"
  }

  @Test("A key that needs a restart keeps its value, and the reload names it", arguments: waiting)
  func keeps(text: String) {
    let key = String(text.prefix { $0 != ":" })
    let fresh = parse(document(text)).settings
    #expect(fresh != Settings())
    let (settings, waiting) = fresh.merged(into: Settings())
    #expect(settings == Settings() && waiting == [key])
    // Without a change nothing waits for a restart.
    #expect(fresh.merged(into: fresh).waiting.isEmpty && fresh.merged(into: fresh).settings == fresh)
  }

  @Test("The tested keys that need a restart are those of the schema")
  func complete() {
    let fields = Schema<Settings>.settings.fields.filter { $0.takesEffect == .atRestart }.map(\.path)
    #expect(Set(fields) == Set(Self.waiting.map { String($0.prefix { $0 != ":" }) }))
  }

  @Test("Every other key takes effect at once")
  func atOnce() {
    var fresh = parse(fullDocument).settings
    var running = Settings()
    let (merged, _) = fresh.merged(into: running)
    // Makes the keys that need a restart equal, so that only the other keys can differ.
    for key in [\Settings.realm, \Settings.stateDirectory, \Settings.auth.store] {
      fresh[keyPath: key] = running[keyPath: key]
    }
    fresh.workers = running.workers
    fresh.engine = running.engine
    fresh.listeners = running.listeners
    fresh.relay.addresses = running.relay.addresses
    fresh.relay.ports = running.relay.ports
    fresh.turn.natDiscovery = running.turn.natDiscovery
    fresh.auth.hook = running.auth.hook
    fresh.auth.hookSecret = running.auth.hookSecret
    fresh.events.webhook = running.events.webhook
    fresh.admin.listen = running.admin.listen
    fresh.admin.demo = running.admin.demo
    fresh.limits.strangersMemory = running.limits.strangersMemory
    fresh.hardening = running.hardening
    fresh.realms = running.realms
    fresh.tls.minimumVersion = running.tls.minimumVersion
    running = fresh
    #expect(merged == running)
  }

  @Test("A reload changes users at once; new realms and stores need a restart, removed realms keep only their number")
  func realms() {
    let (settings, waiting) = merge(
      "realms: { a: { users: { alice: new }, store: sqlite:new.db }, c: {} }",
      into: "realms: { a: { users: { alice: old }, store: sqlite:old.db }, b: { users: { bob: old } } }")
    #expect(waiting == ["realms"])
    #expect(settings.realms["a"]?.users == ["alice": "new"] && settings.realms["a"]?.store == "sqlite:old.db")
    #expect(settings.realms["b"] == Settings.RealmSection() && settings.realms["c"] == nil)
    let quiet = merge("realms: { a: { users: { x: y } } }", into: "realms: { a: {} }")
    #expect(quiet.waiting.isEmpty && quiet.settings.realms["a"]?.users == ["x": "y"])
  }

  @Test("tls.minimum-version needs a restart with the default listeners, and no restart with listed ones")
  func minimumVersion() {
    let version = "tls: { minimum-version: \"1.3\" }"
    #expect(merge(version, into: "{}").waiting == ["tls.minimum-version"])
    #expect(merge(version, into: "{}").settings.tls.minimumVersion == .tls12)
    let listeners = "listeners: [tls://127.0.0.1:5349]\n"
    #expect(merge(listeners + version, into: listeners).waiting.isEmpty)
    #expect(merge(listeners + version, into: listeners).settings.tls.minimumVersion == .tls13)
  }
}
