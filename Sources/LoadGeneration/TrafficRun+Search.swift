internal import NetworkTypes

extension TrafficRun {
  /// The search ends when the rate is known to 2 %.
  private static let precision = 0.02

  /// Finds the highest rate with a loss below 0.1 %, and measures at this rate.
  mutating func search(progress: (LoadProgress) -> Void) throws(LoadError) -> LoadResult {
    let unpaced = try trial(
      .window(256), warmUp: .milliseconds(300), duration: settings.trialDuration, progress: progress)
    let ways: Double = settings.direction == .echo && settings.work == .relay ? 2 : 1
    var good: UInt64 = 0
    var bad = UInt64(unpaced.perSecond / ways * 1.5) + 1
    var next = UInt64(unpaced.perSecond / ways)
    while Double(bad - good) > Double(bad) * Self.precision, next > 0 {
      let result = try trial(
        .rate(next), warmUp: .milliseconds(200), duration: settings.trialDuration, progress: progress)
      // If this program cannot send at this rate, the rate counts as not reached.
      let isReached = result.perSecond / ways >= Double(next) * 0.98
      if isReached, result.lossShare < 0.001 { good = next } else { bad = next }
      next = (good + bad) / 2
    }
    guard good > 0 else {
      var result = unpaced
      result.foundRate = 0
      result.isConfirmed = false
      return result
    }
    var result = try trial(.rate(good), warmUp: settings.warmUp, duration: settings.duration, progress: progress)
    result.foundRate = good
    result.isConfirmed = result.lossShare < 0.001 && result.perSecond / ways >= Double(good) * 0.98
    return result
  }
}
