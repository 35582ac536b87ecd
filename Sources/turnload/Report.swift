internal import CommandLine
internal import LoadGeneration
internal import NetworkTypes

/// A result in each form of output.
struct Report {
  let settings: LoadSettings
  let target: String
  /// Loss above this is a warning, in hundredths of a percent; nil: only loss above one half.
  let maximumLoss: UInt64?
  let result: LoadResult?
  /// The reason why there is no result.
  let failure: Failure?

  var status: ExitStatus {
    if result == nil { return .failed }
    return warnings.isEmpty ? .good : .warning
  }

  /// Warnings about a result.
  var warnings: [String] {
    guard let result else { return [] }
    var warnings: [String] = []
    if !result.isConfirmed {
      warnings.append(
        result.foundRate == 0
          ? "no rate was found with less than 0.1 % loss"
          : "the measurement did not reach the rate that short trials found: is the machine busy? Search again")
    }
    if let maximumLoss, result.lossShare * 10_000 > Double(maximumLoss) {
      warnings.append("more loss than --max-loss")
    } else if maximumLoss == nil, isMostlyLost {
      warnings.append("more than half was lost: the figures are not those of a server that keeps up")
    }
    return warnings
  }

  /// The likely cause of the failure, or of a loss above one half.
  var likelyCause: String? {
    if let failure { return failure.likelyCause }
    guard isMostlyLost else { return nil }
    if settings.work == .binding {
      return "the server limits requests without credentials: for a test start it with "
        + "--set limits.unauthenticated-per-address=0 --set limits.unauthenticated=0 (turnpike)"
    }
    if case .rate = settings.pace { return "the server, or this machine, is too slow for this --rate" }
    return nil
  }

  /// More than one half is lost: no real network loses so much, so the server or the settings are at fault.
  private var isMostlyLost: Bool { (result?.lossShare ?? 0) > 0.5 }

  // MARK: - Text

  var text: String {
    guard let result else { return "failed: \(failure?.message ?? "")\n" }
    let path = settings.work == .floor ? "" : " over \(settings.transport) at \(settings.server)"
    var lines = [settings.work.rawValue + path]
    let seconds = Self.tenths(result.elapsed.fractionalSeconds)
    let rate = "in \(seconds) s: \(Int64(result.perSecond)) a second"
    let made = "held for \(seconds) s, made in \(Self.thousandths(result.setUp.fractionalSeconds)) s"
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
    let times = [
      ("own CPU      ", settings.work == .floor ? result.ownTime : nil), ("server CPU   ", result.serverTime),
      ("its core     ", result.coreTime),
    ]
    for (name, time) in times {
      if let each = result.nanosecondsEach(time) {
        lines.append("\(name)\(Int64(each)) ns for each \(result.unit.rawValue)")
      }
    }
    if let before = result.residentBefore, let after = result.residentAfter {
      lines.append("memory       \(before.rawValue >> 10) KiB before, \(after.rawValue >> 10) KiB after")
    }
    if result.failures > 0 { lines.append("failures     \(result.failures), first: \(result.firstFailure ?? "")") }
    lines += warnings.map { "warning      \($0)" }
    if let likelyCause { lines.append("likely cause: \(likelyCause)") }
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
