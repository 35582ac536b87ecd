internal import ClientPrograms
internal import JSON
internal import LoadGeneration
internal import NetworkTypes

/// A result in each form that it can be written in.
struct Report {
  let settings: LoadSettings
  let target: String
  let result: LoadResult?
  let failure: String?
  let status: ExitStatus

  // MARK: - JSON

  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("command", .string(settings.work.rawValue)), ("target", .string(target)),
      ("address", .string("\(settings.server)")), ("status", .string(status.key)),
      ("exit_status", .integer(Int64(status.rawValue))), ("failure", failure.map(JSONValue.string) ?? .null),
      ("settings", Self.object(given)),
    ]
    guard let result else { return Self.object(members) }
    members += [
      ("unit", .string(result.unit.rawValue)), ("seconds", .double(Double(result.elapsed) / 1e9)),
      ("completed", Self.whole(result.completed)), ("per_second", Self.rounded(result.perSecond)),
      ("sent", Self.whole(result.sent)), ("lost", Self.whole(result.lost)),
      ("loss_percent", Self.rounded(result.lossShare * 100, 10_000)), ("failures", Self.whole(result.failures)),
      ("first_failure", result.firstFailure.map(JSONValue.string) ?? .null),
      ("setup_seconds", .double(Double(result.setUp) / 1e9)),
      ("confirmed", result.foundRate == nil ? .null : .bool(result.isConfirmed)), ("found_rate", result.foundRate.map(Self.whole) ?? .null), ("latency_us", latency(result.latency)),
      ("server", server(result)),
      ("generator", Self.object([("cpu_ns_each", Self.optional(result.each(result.ownTime)))])),
    ]
    return Self.object(members)
  }

  private var given: [(String, JSONValue)] {
    let isRelay = settings.work == .relay
    var pace: [(String, JSONValue)] = [("window", .null), ("rate", .null), ("search", .bool(settings.pace == .search))]
    if case .window(let size) = settings.pace { pace[0].1 = Self.whole(UInt64(size)) }
    if case .rate(let rate) = settings.pace { pace[1].1 = Self.whole(rate) }
    return [
      ("transport", .string("\(settings.transport)")),
      ("direction", isRelay ? .string(settings.direction.rawValue) : .null),
      ("framing", .string(settings.usesIndications ? "indications" : "channel-data")),
      ("size", Self.whole(UInt64(settings.payloadByteCount))),
      ("allocations", Self.whole(UInt64(settings.allocations))), ("burst", Self.whole(UInt64(settings.burst))),
      ("gso", .bool(settings.segments)), ("gro", .bool(settings.coalesces)),
    ] + pace
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

  /// What may be behind loss that no network has.
  private var advice: String? {
    guard let result, settings.work == .binding, result.lossShare > 0.5 else { return nil }
    return "a limit of the server on unauthenticated requests (turnpike: limits.unauthenticated-per-address)"
  }

  // MARK: - Text

  var text: String {
    guard let result else { return "failed: \(failure ?? "")\n" }
    let place = settings.work == .floor ? "" : " over \(settings.transport) at \(settings.server)"
    var lines = [settings.work.rawValue + place]
    lines.append(
      "\(result.unit.rawValue)s      \(result.completed) in \(Self.tenths(Double(result.elapsed) / 1e9)) s: "
        + "\(Int64(result.perSecond)) a second")
    if let rate = result.foundRate { 
      lines.append(
        "best rate    \(rate) a second "
          + (result.isConfirmed
            ? "with less than 0.1 % loss"
            : "in a short trial, NOT CONFIRMED by the measurement: is the machine busy? Search again"))
    }
    if result.unit != .cycle {
      lines.append("loss         \(result.lost) of \(result.sent) (\(Self.thousandths(result.lossShare * 100)) %)")
    }
    if result.latency.count > 0 { lines.append("latency      \(Self.text(result.latency))") }
    if settings.work == .floor, let each = result.each(result.ownTime) {
      lines.append("own CPU      \(Int64(each)) ns a \(result.unit.rawValue)")
    }
    if let each = result.each(result.serverTime) {
      lines.append("server CPU   \(Int64(each)) ns a \(result.unit.rawValue)")
    }
    if let each = result.each(result.coreTime) {
      lines.append("its core     \(Int64(each)) ns a \(result.unit.rawValue)")
    }
    if let before = result.residentBefore, let after = result.residentAfter {
      lines.append("memory       \(before >> 10) KiB before, \(after >> 10) KiB after")
    }
    if result.failures > 0 { lines.append("failures     \(result.failures), first: \(result.firstFailure ?? "")") }
    if status == .warning, result.isConfirmed { lines.append("warning      more loss than --max-loss") }
    if let advice { lines.append("likely cause \(advice)") }
    return lines.map { $0 + "\n" }.joined()
  }

  private static func text(_ histogram: LatencyHistogram) -> String {
    let parts: [(String, UInt64)] = [
      ("p50", histogram.quantile(thousandths: 500)), ("p90", histogram.quantile(thousandths: 900)),
      ("p99", histogram.quantile(thousandths: 990)), ("max", histogram.maximum),
    ]
    return parts.map { "\($0.0) \(tenths(Double($0.1) / 1e3))" }.joined(separator: ", ") + " us"
  }

  private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
  private static func thousandths(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
}
