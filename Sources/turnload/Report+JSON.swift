internal import CommandLine
internal import JSON
internal import LoadGeneration
internal import NetworkTypes
internal import Probe

/// The JSON document; docs/turnload.md describes its members.
extension Report {
  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("command", .string(settings.work.rawValue)), ("target", .string(target)),
      ("address", hasAddress ? .string("\(settings.server)") : .null), ("status", .string(status.key)),
      ("exit_status", .integer(Int64(status.rawValue))), ("failure", .optional(failure?.message)),
      ("warnings", .strings(warnings)),
      ("likely_cause", .optional(likelyCause)), ("settings", .record(given)),
    ]
    guard let result else { return .record(members) }
    members += [
      ("unit", .string(result.unit.rawValue)), ("seconds", .double(result.elapsed.fractionalSeconds)),
      ("completed", .whole(result.completed)),
      // `hold` counts allocations: it has no rate.
      ("per_second", settings.work == .hold ? .null : Self.rounded(result.perSecond)),
      ("sent", .whole(result.sent)), ("lost", .whole(result.lost)),
      ("loss_percent", Self.rounded(result.lossShare * 100, 10_000)), ("failures", .whole(result.failures)),
      ("first_failure", .optional(result.firstFailure)),
      ("setup_seconds", .double(result.setUp.fractionalSeconds)),
      ("found_rate", result.foundRate.map { .whole($0) } ?? .null),
      ("confirmed", result.foundRate == nil ? .null : .bool(result.isConfirmed)),
      ("latency_us", latency(result.latency)), ("server", server(result)),
      ("generator", .record([("cpu_ns_each", Self.optional(result.nanosecondsEach(result.ownTime)))])),
    ]
    return .record(members)
  }

  /// Whether the load has a server with a resolved address.
  private var hasAddress: Bool { settings.work != .floor && settings.server != .none }

  /// The settings of the load; null for those that the command does not have.
  private var given: [(String, JSONValue)] {
    let isRelaying = settings.work == .relay || settings.work == .relayToRelay
    let hasPackets = isRelaying || settings.work == .binding
    func whole(_ value: Int, if isGiven: Bool) -> JSONValue { isGiven ? .whole(UInt64(value)) : .null }
    func flag(_ value: Bool, if isGiven: Bool) -> JSONValue { isGiven ? .bool(value) : .null }
    var window = JSONValue.null
    var rate = JSONValue.null
    if hasPackets, case .window(let size) = settings.pace { window = .whole(UInt64(size)) }
    if case .rate(let packets) = settings.pace { rate = .whole(packets) }
    return [
      ("transport", settings.work == .floor ? .null : .string("\(settings.transport)")),
      ("direction", settings.work == .relay ? .string(settings.direction.rawValue) : .null),
      ("framing", isRelaying ? .string(settings.usesIndications ? "indications" : "channel-data") : .null),
      ("size", whole(settings.payloadByteCount, if: isRelaying || settings.work == .floor)),
      ("allocations", whole(settings.allocations, if: settings.work != .floor)),
      ("burst", whole(settings.burst, if: hasPackets)), ("gso", flag(settings.segments, if: isRelaying)),
      ("gro", flag(settings.coalesces, if: isRelaying)), ("window", window), ("rate", rate),
      ("search", flag(settings.pace == .search, if: hasPackets)),
    ]
  }

  private func latency(_ histogram: LatencyHistogram) -> JSONValue {
    guard histogram.count > 0 else { return .null }
    func microseconds(_ nanoseconds: UInt64) -> JSONValue { .double(Double(nanoseconds / 100) / 10) }
    return .record([
      ("min", microseconds(histogram.minimum ?? 0)), ("mean", microseconds(histogram.mean)),
      ("p50", microseconds(histogram.quantile(thousandths: 500))),
      ("p90", microseconds(histogram.quantile(thousandths: 900))),
      ("p99", microseconds(histogram.quantile(thousandths: 990))), ("max", microseconds(histogram.maximum)),
    ])
  }

  private func server(_ result: LoadResult) -> JSONValue {
    func bytes(_ count: ByteCount?) -> JSONValue { count.map { .whole($0.rawValue) } ?? .null }
    return .record([
      ("cpu_ns_each", Self.optional(result.nanosecondsEach(result.serverTime))),
      ("core_busy_ns_each", Self.optional(result.nanosecondsEach(result.coreTime))),
      (
        "core_busy_percent",
        Self.optional(result.coreTime.map { $0 * 100 / max(result.elapsed, .nanoseconds(1)) })
      ),
      (
        "task_switches_each",
        result.serverSwitches.flatMap { result.each($0) }.map { Self.rounded($0, 1000) } ?? .null
      ),
      ("rss_before", bytes(result.residentBefore)), ("rss_after", bytes(result.residentAfter)),
    ])
  }

  private static func rounded(_ value: Double, _ steps: Double = 10) -> JSONValue {
    .double((value * steps).rounded() / steps)
  }
  private static func optional(_ value: Double?) -> JSONValue { value.map { rounded($0) } ?? .null }
}
