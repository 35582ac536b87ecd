/// What somebody probably meant who mistyped a command or an option.
public enum NearestName {
  /// ": did you mean relay?", or nothing where no candidate is near.
  public static func question(_ word: String, among candidates: some Sequence<String>) -> String {
    find(word, among: candidates).map { ": did you mean \($0)?" } ?? ""
  }

  /// The candidate with the fewest slips; nil where none is near enough.
  public static func find(_ word: String, among candidates: some Sequence<String>) -> String? {
    let word = Array(word.lowercased().utf8.prefix(longest))
    var best: (slips: Int, candidate: String)?
    for candidate in candidates.sorted() {
      let slips = slips(word, Array(candidate.utf8))
      if slips <= min(2, max(candidate.utf8.count / 3, 1)), slips < best?.slips ?? .max { best = (slips, candidate) }
    }
    return best?.candidate
  }

  /// Whether a word that is no command may have been meant for one, rather than for a host.
  public static func looksLikeCommand(_ word: String) -> Bool {
    word != "localhost" && !word.isEmpty
      && word.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "-")
      }
  }

  /// Longer words are compared by their beginning.
  private static let longest = 64

  /// How many letters were left out, put in, changed, or swapped with their neighbour.
  private static func slips(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var rows = [Array(0...b.count)]
    for i in a.indices {
      let last = rows[i]
      var row = [i + 1]
      for j in b.indices {
        var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, rows[i - 1][j - 1] + 1) }
        row.append(least)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
