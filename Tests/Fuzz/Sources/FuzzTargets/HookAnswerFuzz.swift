import Credentials
import NetworkTypes

/// The document of `auth.hook`. It gives usable keys for a bounded time, or a reason of one line.
enum HookAnswerFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    do throws(HookAnswer.Problem) {
      let answer = try HookAnswer(bytes, user: Array("carol".utf8), realm: "turnpike")
      guard (Duration.seconds(1)...HookAnswer.longestLifetime).contains(answer.lifetime) else {
        return "kept \(answer.lifetime)"
      }
      if answer.allocations == 0 || answer.bandwidth == .unlimited { return "a limit of 0 would mean no limit" }
      return answer.md5.isEmpty ? "a user without a key" : nil
    } catch {
      return error.text.isEmpty || error.text.contains("\n") ? "refused with \(error.text)" : nil
    }
  }
}
