internal import Configuration
internal import Log
internal import NetworkTypes

/// The limits of allocations that the configuration does not set: as many as relay ports and descriptors allow. One
/// user and one client address get only a share, so that neither can use up the total.
struct AllocationLimits: Equatable {
  var total: UInt32
  var perUser: UInt32
  var perAddress: UInt32

  /// The minimum for a user or an address, even on a small server.
  private static let smallestShare: UInt32 = 64

  /// - Parameters:
  ///   - ports: relay ports of one address.
  ///   - addresses: the number of relay addresses.
  ///   - descriptors: the process's limit of open files and sockets; each relay port needs one. A quarter, at least 64,
  ///     is for connections and files.
  init(ports: Int, addresses: Int, descriptors: UInt64) {
    let files = Int(clamping: descriptors)
    let room = max(files - max(files / 4, 64), 1)
    let (product, overflow) = ports.multipliedReportingOverflow(by: max(addresses, 1))
    self.init(total: UInt32(clamping: max(min(overflow ? room : product, room), 1)))
  }

  private init(total: UInt32) {
    self.total = total
    perUser = max(total / 4, Self.smallestShare)
    perAddress = max(total / 8, Self.smallestShare)
  }

  /// The effective limits of a realm: the configured ones, else these, else shares of the configured total. Only the
  /// default realm has a total without configuration.
  func limits(_ given: Settings.LimitsSection, isDefault: Bool) -> QuotaLedger.Limits {
    let total = given.allocations ?? (isDefault ? self.total : 0)
    let shares = given.allocations.map { $0 > 0 ? AllocationLimits(total: $0) : self } ?? self
    return QuotaLedger.Limits(
      total: total, perUser: given.allocationsPerUser ?? shares.perUser,
      perAddress: given.allocationsPerAddress ?? shares.perAddress)
  }
}

extension Server {
  /// The limits of all realms, by their numbers.
  func makeQuotaLimits() -> [QuotaLedger.Limits] {
    realmNames.map { name in
      state.automatic.limits(settings.realms[name]?.limits ?? settings.limits, isDefault: name == settings.realm)
    }
  }

  /// Logs the limits of the default realm's users and addresses.
  func logAllocationLimits() {
    let limits = state.automatic.limits(settings.limits, isDefault: true)
    log.info(
      "allocation-limits", ("allocations", .number(limits.total)), ("per-user", .number(limits.perUser)),
      ("per-address", .number(limits.perAddress)), ("effect", "508, 486 and 486 beyond them; 0 is no limit"))
  }
}
