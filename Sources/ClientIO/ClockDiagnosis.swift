public import Crypto
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// Why a server refuses credentials that were made from a shared secret: whether the secret is another one, or by how
/// much its clock is ahead. Each question costs one Allocate.
public enum ClockDiagnosis {
  public enum Finding: Hashable, Sendable {
    /// Even what would be good for years is refused.
    case otherSecret
    /// The server's clock is so many seconds ahead of ours.
    case serverAhead(seconds: UInt64)
    /// The server did not answer every question alike.
    case unclear
  }

  /// Further ahead a clock is not looked for, in seconds: ten years.
  private static let horizon: UInt64 = 315_360_000

  /// Finds out. `name` is what stands behind the colon of the user name.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, name: String, secret: [UInt8], lifetime: UInt64,
    generator: inout SeededGenerator
  ) -> Finding {
    let now = Now.read().wallSeconds
    func isTaken(_ ahead: UInt64, _ generator: inout SeededGenerator) -> Bool? {
      let username = Array("\(now + ahead):\(name)".utf8)
      var options = options
      options.credential = LongTermCredential(
        username: username, password: TimeLimitedCredential.password(username: username, secret: secret))
      return allocates(target, options, &generator)
    }
    switch isTaken(horizon, &generator) {
    case nil: return .unclear
    case false?: return .otherSecret
    case true?: break
    }
    // What ends before the server's now is refused, what ends later is taken.
    var refused = lifetime
    var taken = horizon
    while taken - refused > 1 {
      let middle = refused + (taken - refused) / 2
      guard let isGood = isTaken(middle, &generator) else { return .unclear }
      if isGood { taken = middle } else { refused = middle }
    }
    return .serverAhead(seconds: refused)
  }

  /// Whether an allocation is granted; nil where the answer is about something else.
  private static func allocates(
    _ target: ServerTarget, _ options: CheckOptions, _ generator: inout SeededGenerator
  ) -> Bool? {
    let seed = (0..<4).flatMap { _ in
      let word = generator.next()
      return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }
    let deadline = Instant.read().advanced(byMilliseconds: options.timeout)
    guard let connection = try? ClientConnection(options.connection(to: target), until: deadline) else { return nil }
    var session = AllocationSession(
      connection, settings: options.allocation(for: target), generator: SeededGenerator(seed: seed))
    defer { session.close() }
    do {
      try session.allocate()
      _ = try? session.delete()
      return true
    } catch {
      if case .request(.wrongCredentials) = error { return false }
      return nil
    }
  }
}
