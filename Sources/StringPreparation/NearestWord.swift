/// Finds the known word nearest to a mistyped one.
public enum NearestWord {
  /// The largest distance of a guess, in letters omitted, added, changed or swapped.
  public enum Tolerance: Sendable {
    /// Two letters, or a third of a long candidate; a candidate that begins with the word is a guess too. Configuration
    /// keys use this tolerance, because the word can be nothing else.
    case generous
    /// One letter for each three of the candidate, at most two. Command lines use this tolerance, because the word may
    /// be a host name.
    case strict

    fileprivate func limit(_ candidate: String) -> Int {
      switch self {
      case .generous: max(2, candidate.utf8.count / 3)
      case .strict: min(2, max(candidate.utf8.count / 3, 1))
      }
    }
  }

  /// The candidate with the smallest distance from `word`, the first of several; nil if none is near enough.
  public static func find(
    _ word: String, among candidates: some Sequence<String>, tolerance: Tolerance = .generous
  ) -> String? {
    let lowered = Array(word.lowercased().utf8.prefix(longest))
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
      let limit = tolerance.limit(candidate)
      // Most candidates are too long or too short to be near.
      guard abs(candidate.utf8.count - lowered.count) <= limit else { continue }
      let distance = EditDistance.slips(lowered, Array(candidate.lowercased().utf8.prefix(longest)))
      if distance <= limit, distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    if let best { return best.candidate }
    guard tolerance == .generous, lowered.count >= 2 else { return nil }
    return candidates.first { $0.lowercased().utf8.starts(with: lowered) }
  }

  /// Longer words are compared by their beginning only.
  private static let longest = 64
}
