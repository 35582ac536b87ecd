import Testing

@testable import LoadGeneration

@Suite("The latency histogram")
struct LatencyHistogramTests {
  @Test("Every duration lies within its bucket")
  func buckets() {
    for value in [0, 1, 63, 64, 65, 127, 128, 1000, 999_999, 1 << 30, 1 << 42 - 1] as [UInt64] {
      let bucket = LatencyHistogram.bucket(value)
      #expect(LatencyHistogram.upperEdge(bucket) >= value)
      #expect(bucket == 0 || LatencyHistogram.upperEdge(bucket - 1) < value)
    }
  }

  @Test("A bucket is at most a sixty-fourth of its value wide")
  func bucketWidth() {
    for value in stride(from: 64 as UInt64, to: 10_000_000, by: 977) {
      let edge = LatencyHistogram.upperEdge(LatencyHistogram.bucket(value))
      #expect(edge - value <= value / 64)
    }
  }

  @Test("Quantiles are those of the recorded values")
  func quantiles() {
    var histogram = LatencyHistogram()
    for value in 1...10_000 as ClosedRange<UInt64> { histogram.add(value * 100) }
    for (thousandths, exact) in [(500, 500_000), (900, 900_000), (990, 990_000)] as [(UInt64, UInt64)] {
      let found = histogram.quantile(thousandths: thousandths)
      #expect(found >= exact && found <= exact + exact / 60)
    }
    #expect(histogram.quantile(thousandths: 1000) == 1_000_000)
    #expect(histogram.minimum == 100)
    #expect(histogram.mean == 500_050)
  }

  @Test("An empty histogram gives 0")
  func empty() {
    #expect(LatencyHistogram().quantile(thousandths: 500) == 0)
    #expect(LatencyHistogram().mean == 0)
  }

  @Test("A duration above an hour is counted in the last bucket")
  func longDurations() {
    var histogram = LatencyHistogram()
    histogram.add(.max / 2)
    #expect(histogram.count == 1)
    #expect(histogram.quantile(thousandths: 500) > 1 << 41)
  }
}
