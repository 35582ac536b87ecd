extension Settings {
  /// The settings that a running server can apply, and the keys whose new value waits for a restart.
  public func merged(into running: Settings) -> (settings: Settings, waiting: [String]) {
    var merged = self
    let waiting = Schema.settings.fields.filter { $0.keep(running, &merged) }.map(\.path)
    return (merged, waiting)
  }
}

extension Schema where Root == Settings {
  /// Realms are numbered at the start. Removed realms lose their users at once; new realms and new stores need a
  /// restart.
  static func keepRealms(_ running: Settings, _ next: inout Settings) -> Bool {
    let waits = next.realms.mapValues(\.store) != running.realms.mapValues(\.store)
    let configured = next.realms
    next.realms = running.realms.reduce(into: [:]) { realms, realm in
      realms[realm.key] = configured[realm.key] ?? Settings.RealmSection()
      realms[realm.key]?.store = realm.value.store
    }
    return waits
  }

  /// With the default listeners the version decides whether there are DTLS listeners.
  static func keepMinimumVersion(_ running: Settings, _ next: inout Settings) -> Bool {
    guard running.listeners == nil, next.tls.minimumVersion != running.tls.minimumVersion else { return false }
    next.tls.minimumVersion = running.tls.minimumVersion
    return true
  }
}
