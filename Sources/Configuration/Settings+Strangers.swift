internal import TURN

/// Limits of unauthenticated answers.
extension Settings {
  /// Unauthenticated answers a second in all: by default 20,000 for each shard; 0: no limit.
  public func strangerAnswers(shards: Int) -> UInt32 {
    limits.unauthenticated ?? UInt32(clamping: max(shards, 1) * 20_000)
  }

  /// The length of a realm's 401 to a first Allocate: header, ERROR-CODE with its phrase, REALM, NONCE,
  /// PASSWORD-ALGORITHMS, and with access tokens THIRD-PARTY-AUTHORIZATION.
  public func challengeByteCount(realm: String) -> Int {
    let name = 4 + (realm.utf8.count + 3) & ~3
    return 20 + 20 + name + 36 + 4 + 4 * turn.passwordAlgorithms.count + (auth.oauthKeys.isEmpty ? 0 : name)
  }

  /// The length of a browser's first Allocate.
  private static let firstAllocateByteCount = 28

  /// Warns about realms whose 401 is more than four times as long as the request: with forged source addresses such
  /// requests would make the server flood others.
  var challengeProblems: [ConfigurationProblem] {
    let longest = 4 * Self.firstAllocateByteCount
    return ([realm] + realms.keys.sorted()).compactMap { name in
      let count = challengeByteCount(realm: name)
      guard !turn.isAnonymous, count > longest else { return nil }
      return ConfigurationProblem(
        .warning, key: name == realm ? "realm" : "realms.\(name)",
        "a 401 has \(count) bytes, more than four times a first Allocate: forged requests can flood others with it",
        suggestion: "choose a shorter name\(auth.oauthKeys.isEmpty ? "" : "; with auth.oauth-keys a 401 has it twice")")
    }
  }
}
