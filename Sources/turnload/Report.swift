internal import ClientPrograms
internal import LoadGeneration

/// A result in each form that it can be written in.
struct Report {
  let settings: LoadSettings
  let target: String
  /// Hundredths of a percent beyond which loss is worth a warning; nil: never.
  let maximumLoss: UInt64?
  let result: LoadResult?
  /// Why there is no result.
  let failure: Failure?

  var status: ExitStatus {
    if result == nil { return .failed }
    return warnings.isEmpty ? .good : .warning
  }

  /// What was asked for and did not come true, though there is a result.
  var warnings: [String] {
    guard let result else { return [] }
    var warnings: [String] = []
    if !result.isConfirmed {
      warnings.append(
        result.foundRate == 0
          ? "no rate was found with less than 0.1 % loss"
          : "the measurement did not bear out the rate that short trials found: is the machine busy? Search again")
    }
    if let maximumLoss, result.lossShare * 10_000 > Double(maximumLoss) {
      warnings.append("more loss than --max-loss")
    }
    return warnings
  }

  /// What may be behind the failure, or behind loss that no network has.
  var likelyCause: String? {
    if let failure { return failure.likelyCause }
    guard let result, settings.work == .binding, result.lossShare > 0.5 else { return nil }
    return "a limit of the server on unauthenticated requests (turnpike: limits.unauthenticated-per-address)"
  }

  // MARK: - Text

  var text: String {
    guard let result else { return "failed: \(failure?.message ?? "")\n" }
    let place = settings.work == .floor ? "" : " over \(settings.transport) at \(settings.server)"
    var lines = [settings.work.rawValue + place]
    let seconds = Self.tenths(Double(result.elapsed) / 1e9)
    let rate = "in \(seconds) s: \(Int64(result.perSecond)) a second"
    let made = "held for \(seconds) s, made in \(Self.thousandths(Double(result.setUp) / 1e9)) s"
    let units = "\(result.unit.rawValue)s"
    let margin = String(repeating: " ", count: 13 - units.count)
    lines.append("\(units)\(margin)\(result.completed) \(settings.work == .hold ? made : rate)")
    if let rate = result.foundRate, rate > 0 {
      lines.append(
        "best rate    \(rate) a second " + (result.isConfirmed ? "with less than 0.1 % loss" : "in a short trial"))
    }
    if result.unit != .cycle {
      lines.append("loss         \(result.lost) of \(result.sent) (\(Self.thousandths(result.lossShare * 100)) %)")
    }
    if result.latency.count > 0 { lines.append("latency      \(Self.text(result.latency))") }
    if settings.work == .floor, let each = result.each(result.ownTime) {
      lines.append("own CPU      \(Int64(each)) ns for each \(result.unit.rawValue)")
    }
    if let each = result.each(result.serverTime) {
      lines.append("server CPU   \(Int64(each)) ns for each \(result.unit.rawValue)")
    }
    if let each = result.each(result.coreTime) {
      lines.append("its core     \(Int64(each)) ns for each \(result.unit.rawValue)")
    }
    if let before = result.residentBefore, let after = result.residentAfter {
      lines.append("memory       \(before >> 10) KiB before, \(after >> 10) KiB after")
    }
    if result.failures > 0 { lines.append("failures     \(result.failures), first: \(result.firstFailure ?? "")") }
    lines += warnings.map { "warning      \($0)" }
    if let likelyCause { lines.append("likely cause \(likelyCause)") }
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
