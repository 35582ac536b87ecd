internal import NetworkTypes
internal import STUN

/// A realm's settings, and the values derived from them.
struct Realm {
  var settings: RealmSettings
  /// The offer in challenges.
  var offer: PasswordOffer
  /// The limit of each allocation in each direction.
  var bandwidth: RateLimit

  init(_ settings: RelaySettings, _ realm: RealmSettings) {
    self.settings = realm
    offer = PasswordOffer(settings, realm)
    bandwidth = RateLimit(realm.limits.bandwidthPerAllocation)
  }
}

/// The realms by number.
struct RealmTable {
  private var records: [Realm]
  /// Whether any realm limits the bandwidth of its allocations.
  private(set) var limitsBandwidth: Bool

  init(_ settings: RelaySettings) {
    records = settings.allRealms.map { Realm(settings, $0) }
    limitsBandwidth = records.contains { !$0.bandwidth.isUnlimited }
  }

  /// The realm of a number; the default realm for an unknown number.
  subscript(id: RealmID) -> Realm {
    // Borrows the element: a copy would change the reference counts of its texts and algorithms.
    _read { yield records[index(of: id)] }
  }

  /// The bandwidth of a realm's allocation.
  @inline(__always)
  func bandwidth(of id: RealmID) -> RateLimit { records[index(of: id)].bandwidth }

  @inline(__always)
  private func index(of id: RealmID) -> Int {
    let index = Int(id.rawValue)
    return index < records.count ? index : 0
  }
}
