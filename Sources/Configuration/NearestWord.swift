/// Finds what somebody probably meant.
public enum NearestWord {
  /// The candidate with the fewest slips from `word`, else the first that begins with it (`warn`, `warning`); nil
  /// where none is near enough to be a guess worth making.
  public static func find(_ word: String, among candidates: some Sequence<String>) -> String? {
    let lowered = Array(word.lowercased().utf8.prefix(longest))
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
      let tolerated = max(2, candidate.utf8.count / 3)
      // Most candidates are too long or too short to be near.
      guard abs(candidate.utf8.count - lowered.count) <= tolerated else { continue }
      let distance = slips(lowered, Array(candidate.lowercased().utf8.prefix(longest)))
      if distance <= tolerated, distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    if let best { return best.candidate }
    return lowered.count < 2 ? nil : candidates.first { $0.lowercased().utf8.starts(with: lowered) }
  }

  /// Words longer than this are compared by their beginning.
  private static let longest = 64

  /// How many single letters were left out, put in, changed or swapped with their neighbour (optimal string
  /// alignment distance).
  static func slips(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      row.reserveCapacity(b.count + 1)
      for j in b.indices {
        var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, beforeLast[j - 1] + 1) }
        row.append(least)
      }
      beforeLast = last
      last = row
    }
    return last[b.count]
  }
}
