/// Writes metrics as text, in the format of OpenMetrics 1.0 or of Prometheus 0.0.4.
///
/// Names and labels come from this program, never from clients: the number of time series is bounded.
public struct MetricsText: ~Copyable {
  /// The type of a family of metrics.
  public enum Kind: String, Sendable {
    case counter
    case gauge
    case histogram
    case info
  }

  /// The format of the text.
  public enum Format: Sendable {
    case openMetrics
    /// The older text format of Prometheus, which more tools read.
    case prometheus

    /// The media type of the answer.
    public var contentType: String {
      switch self {
      case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
      case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
      }
    }
  }

  public typealias Label = (name: String, value: String)

  private var text = ""
  private var family = ""
  private var kind = Kind.gauge
  private let format: Format

  public init(_ format: Format) {
    self.format = format
    text.reserveCapacity(16_384)
  }

  /// Begins a family of metrics. Its samples follow before the next family.
  ///
  /// - Parameter unit: the unit, with which the name ends; empty for none.
  public mutating func family(_ name: String, _ kind: Kind, unit: String = "", _ help: String) {
    family = name
    self.kind = kind
    switch format {
    case .openMetrics:
      text += "# TYPE \(name) \(kind.rawValue)\n"
      if !unit.isEmpty { text += "# UNIT \(name) \(unit)\n" }
      text += "# HELP \(name) \(Self.escaped(help))\n"
    case .prometheus:
      let whole = name + suffix
      text += "# HELP \(whole) \(Self.escaped(help))\n"
      text += "# TYPE \(whole) \(kind == .info ? "gauge" : kind.rawValue)\n"
    }
  }

  /// Writes one sample of the family.
  public mutating func sample(_ value: Double, _ labels: Label...) { sample(Self.number(value), labels) }

  public mutating func sample(_ value: UInt64, _ labels: Label...) { sample(String(value), labels) }

  public mutating func sample(_ value: Int, _ labels: Label...) { sample(String(value), labels) }

  private mutating func sample(_ value: String, _ labels: [Label]) {
    text += "\(family)\(suffix)\(Self.list(labels)) \(value)\n"
  }

  /// The suffix of a sample's name after the family's.
  private var suffix: String {
    switch kind {
    case .counter: "_total"
    case .info: "_info"
    case .gauge, .histogram: ""
    }
  }

  /// Writes a histogram's cumulative buckets, its number of values and its sum.
  public mutating func histogram(_ histogram: Histogram, _ labels: Label...) {
    var total: UInt64 = 0
    for (index, count) in histogram.counts.enumerated() {
      total &+= count
      let bound = index < histogram.bounds.count ? Self.number(histogram.bounds[index]) : "+Inf"
      text += "\(family)_bucket\(Self.list(labels + [("le", bound)])) \(total)\n"
    }
    text += "\(family)_count\(Self.list(labels)) \(total)\n"
    text += "\(family)_sum\(Self.list(labels)) \(Self.number(histogram.sum))\n"
  }

  /// The whole text, with its end mark.
  public consuming func finish() -> [UInt8] {
    let end = format == .openMetrics ? "# EOF\n" : ""
    return Array((text + end).utf8)
  }

  private static func list(_ labels: [Label]) -> String {
    if labels.isEmpty { return "" }
    return "{" + labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",") + "}"
  }

  private static func escaped(_ text: String, quotes: Bool = false) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }

  /// The shortest text of a number: whole numbers keep ".0", as OpenMetrics writes bounds.
  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return "\(value)"
  }
}
