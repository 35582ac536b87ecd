public import Crypto
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// Finds out why a server refuses credentials made from a shared secret: another secret, or the server's clock, and by
/// how much it is ahead. Each step costs one Allocate.
public enum ClockDiagnosis {
  /// The cause of the refusal.
  public enum Finding: Hashable, Sendable {
    /// A credential that is valid for years is refused too.
    case otherSecret
    /// The server's clock is ahead of ours by this time, in whole seconds.
    case serverAhead(by: Duration)
    /// The server's answers contradict each other.
    case unclear
  }

  /// Limit of the search: ten years.
  private static let horizon = Duration.seconds(315_360_000)

  /// Finds the cause. `name`: the part of the user name after the colon.
  public static func run(
    _ target: ServerTarget, _ options: CheckOptions, name: String, secret: [UInt8], lifetime: Duration,
    generator: inout SeededGenerator
  ) -> Finding {
    func isTaken(_ ahead: Duration, _ generator: inout SeededGenerator) -> Bool? {
      // The clock is read for each step, because the server's clock advances while the search runs.
      let username = Array("\(Now.read().wall.advanced(by: ahead)):\(name)".utf8)
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
    // The server refuses a credential that expires before the server's time, and accepts one that expires later.
    var refused = lifetime.components.seconds
    var taken = horizon.components.seconds
    while taken - refused > 1 {
      let middle = refused + (taken - refused) / 2
      guard let isGood = isTaken(.seconds(middle), &generator) else { return .unclear }
      if isGood { taken = middle } else { refused = middle }
    }
    return .serverAhead(by: .seconds(refused))
  }

  /// Whether the server grants an allocation; nil if the answer is about something else.
  private static func allocates(
    _ target: ServerTarget, _ options: CheckOptions, _ generator: inout SeededGenerator
  ) -> Bool? {
    let seed = (0..<4).flatMap { _ in
      let word = generator.next()
      return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }
    guard let connection = try? options.connect(to: target) else { return nil }
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
