internal import ClientPrograms
internal import JSON
internal import LoadGeneration
internal import NetworkTypes

/// The JSON document; docs/turnload.md says what each member is.
extension Report {
  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("command", .string(settings.work.rawValue)), ("target", .string(target)),
      ("address", hasAddress ? .string("\(settings.server)") : .null), ("status", .string(status.key)),
      ("exit_status", .integer(Int64(status.rawValue))), ("failure", failure.map { .string($0.message) } ?? .null),
      ("warnings", .array(warnings.map(JSONValue.string))),
      ("likely_cause", likelyCause.map(JSONValue.string) ?? .null), ("settings", Self.object(given)),
    ]
    guard let result else { return Self.object(members) }
    members += [
      ("unit", .string(result.unit.rawValue)), ("seconds", .double(Double(result.elapsed) / 1e9)),
      ("completed", Self.whole(result.completed)),
      // Allocations that are held are a number, not a rate.
      ("per_second", settings.work == .hold ? .null : Self.rounded(result.perSecond)),
      ("sent", Self.whole(result.sent)), ("lost", Self.whole(result.lost)),
      ("loss_percent", Self.rounded(result.lossShare * 100, 10_000)), ("failures", Self.whole(result.failures)),
      ("first_failure", result.firstFailure.map(JSONValue.string) ?? .null),
      ("setup_seconds", .double(Double(result.setUp) / 1e9)),
      ("found_rate", result.foundRate.map(Self.whole) ?? .null),
      ("confirmed", result.foundRate == nil ? .null : .bool(result.isConfirmed)),
      ("latency_us", latency(result.latency)), ("server", server(result)),
      ("generator", Self.object([("cpu_ns_each", Self.optional(result.each(result.ownTime)))])),
    ]
    return Self.object(members)
  }

  /// Whether there is a server, and its name was resolved.
  private var hasAddress: Bool { settings.work != .floor && settings.server != .none }

  /// What the load was; null where the command has no such thing.
  private var given: [(String, JSONValue)] {
    let isRelaying = settings.work == .relay || settings.work == .relayToRelay
    let hasPackets = isRelaying || settings.work == .binding
    func whole(_ value: Int, if isGiven: Bool) -> JSONValue { isGiven ? Self.whole(UInt64(value)) : .null }
    func flag(_ value: Bool, if isGiven: Bool) -> JSONValue { isGiven ? .bool(value) : .null }
    var window = JSONValue.null
    var rate = JSONValue.null
    if hasPackets, case .window(let size) = settings.pace { window = Self.whole(UInt64(size)) }
    if case .rate(let packets) = settings.pace { rate = Self.whole(packets) }
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
    return Self.object([
      ("min", microseconds(histogram.minimum)), ("mean", microseconds(histogram.mean)),
      ("p50", microseconds(histogram.quantile(thousandths: 500))),
      ("p90", microseconds(histogram.quantile(thousandths: 900))),
      ("p99", microseconds(histogram.quantile(thousandths: 990))), ("max", microseconds(histogram.maximum)),
    ])
  }

  private func server(_ result: LoadResult) -> JSONValue {
    func bytes(_ count: UInt64?) -> JSONValue { count.map(Self.whole) ?? .null }
    return Self.object([
      ("cpu_ns_each", Self.optional(result.each(result.serverTime))),
      ("core_busy_ns_each", Self.optional(result.each(result.coreTime))),
      (
        "core_busy_percent",
        Self.optional(result.coreTime.map { Double($0) * 100 / Double(max(result.elapsed, 1)) })
      ),
      (
        "task_switches_each",
        result.serverSwitches.flatMap { result.each($0) }.map { Self.rounded($0, 1000) } ?? .null
      ),
      ("rss_before", bytes(result.residentBefore)), ("rss_after", bytes(result.residentAfter)),
    ])
  }

  private static func object(_ members: [(String, JSONValue)]) -> JSONValue {
    .object(members.map { JSONValue.Member($0.0, $0.1) })
  }

  private static func whole(_ value: UInt64) -> JSONValue { .integer(Int64(clamping: value)) }
  private static func rounded(_ value: Double, _ steps: Double = 10) -> JSONValue {
    .double((value * steps).rounded() / steps)
  }
  private static func optional(_ value: Double?) -> JSONValue { value.map { rounded($0) } ?? .null }
}
