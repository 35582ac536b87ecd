internal import Metrics
internal import Testing

@Suite("Text of metrics")
struct MetricsTextTests {
  /// Writes one family of each kind.
  private func everything(_ format: MetricsText.Format) -> String {
    var text = MetricsText(format)
    text.family("t_build", .info, "the program")
    text.sample(1, ("version", "1.2"), ("path", #"a"b\c"#))
    text.family("t_bytes", .counter, unit: "bytes", "two\nlines")
    text.sample(UInt64.max, ("direction", "in"))
    text.family("t_level", .gauge, "a level")
    text.sample(-1)
    text.sample(0.5, ("x", "y"))
    text.family("t_seconds", .histogram, unit: "seconds", "durations")
    var histogram = Histogram(bounds: [0.5, 1])
    for value in [0.25, 0.5, 0.75, 8] { histogram.record(value) }
    text.histogram(histogram, ("k", "v"))
    return String(decoding: text.finish(), as: UTF8.self)
  }

  @Test("OpenMetrics names families without suffixes, has units, and ends with a mark")
  func openMetrics() {
    #expect(
      everything(.openMetrics) == #"""
        # TYPE t_build info
        # HELP t_build the program
        t_build_info{version="1.2",path="a\"b\\c"} 1
        # TYPE t_bytes counter
        # UNIT t_bytes bytes
        # HELP t_bytes two\nlines
        t_bytes_total{direction="in"} 18446744073709551615
        # TYPE t_level gauge
        # HELP t_level a level
        t_level -1
        t_level{x="y"} 0.5
        # TYPE t_seconds histogram
        # UNIT t_seconds seconds
        # HELP t_seconds durations
        t_seconds_bucket{k="v",le="0.5"} 2
        t_seconds_bucket{k="v",le="1.0"} 3
        t_seconds_bucket{k="v",le="+Inf"} 4
        t_seconds_count{k="v"} 4
        t_seconds_sum{k="v"} 9.5
        # EOF

        """#)
  }

  @Test("Prometheus names samples as a whole, and has no units and no end mark")
  func prometheus() {
    #expect(
      everything(.prometheus) == #"""
        # HELP t_build_info the program
        # TYPE t_build_info gauge
        t_build_info{version="1.2",path="a\"b\\c"} 1
        # HELP t_bytes_total two\nlines
        # TYPE t_bytes_total counter
        t_bytes_total{direction="in"} 18446744073709551615
        # HELP t_level a level
        # TYPE t_level gauge
        t_level -1
        t_level{x="y"} 0.5
        # HELP t_seconds durations
        # TYPE t_seconds histogram
        t_seconds_bucket{k="v",le="0.5"} 2
        t_seconds_bucket{k="v",le="1.0"} 3
        t_seconds_bucket{k="v",le="+Inf"} 4
        t_seconds_count{k="v"} 4
        t_seconds_sum{k="v"} 9.5

        """#)
  }

  @Test(
    "Numbers are written as the format requires, also those that are not finite",
    arguments: [(Double.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (3, "3.0"), (0.000_005, "5e-06")])
  func numbers(value: Double, word: String) {
    var text = MetricsText(.prometheus)
    text.family("t", .gauge, "h")
    text.sample(value)
    #expect(String(decoding: text.finish(), as: UTF8.self).hasSuffix("\nt \(word)\n"))
  }

  @Test("The media types are those of the formats")
  func contentTypes() {
    #expect(MetricsText.Format.openMetrics.contentType.hasPrefix("application/openmetrics-text; version=1.0.0"))
    #expect(MetricsText.Format.prometheus.contentType.hasPrefix("text/plain; version=0.0.4"))
  }
}

@Suite("Histogram")
struct HistogramTests {
  @Test("A value on a bound belongs to the bucket of the bound")
  func bounds() {
    var histogram = Histogram(bounds: [1, 2])
    for value in [0, 1, 1.5, 2, 2.1, .infinity] { histogram.record(value) }
    #expect(histogram.counts == [2, 2, 2] && histogram.count == 6)
  }

  @Test("Bounds grow by the factor")
  func growth() { #expect(Histogram(from: 1000, factor: 10, buckets: 3).bounds == [1000, 10_000, 100_000]) }

  @Test("Two histograms add up; one with other bounds is ignored")
  func sum() {
    var a = Histogram(bounds: [1])
    a.record(0.5)
    var b = Histogram(bounds: [1])
    b.record(3)
    a.add(b)
    var other = Histogram(bounds: [2])
    other.record(1)
    a.add(other)
    #expect(a.counts == [1, 1] && a.sum == 3.5)
  }

  @Test("A histogram without bounds has one bucket")
  func empty() {
    var histogram = Histogram(bounds: [])
    histogram.record(7)
    #expect(histogram.counts == [1] && histogram.sum == 7)
  }
}
