/// How much of users and client addresses the lines at `info` show.
public enum LogPrivacy: String, Sendable, CaseIterable {
  case full
  /// Names by their first two characters, addresses by their network.
  case truncated
  /// Neither names nor addresses.
  case none
}
