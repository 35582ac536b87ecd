internal import CommandLine
internal import System
internal import TURNClient

/// The second user of `security`: from options and the environment, or made from the shared secret.
package struct SecondUserSource: Sendable {
  package var username: String?
  package var passwordFile: String?

  private static let nameVariable = "STUNCLIENT_SECOND_USERNAME"
  private static let passwordVariable = "STUNCLIENT_SECOND_PASSWORD"

  /// The second user's credential; nil if there is none. `secret`: the first user's shared secret.
  func read(beside first: CredentialSource, secret: [UInt8]?) throws(UsageError) -> LongTermCredential? {
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let name = username ?? environment[Self.nameVariable]
    var password: [UInt8]?
    if let passwordFile {
      password = try CredentialSource.readSecret(passwordFile)
    } else {
      password = environment[Self.passwordVariable].map { Array($0.utf8) }
    }
    if let name, password == nil { password = CredentialSource.ask("Password of \(name)") }
    switch (name, password) {
    case (nil, nil):
      guard let secret else { return nil }
      return CredentialSource.timeLimited(first.effectiveName + "-2", secret, lifetime: first.lifetime)
    case (let name?, let password?):
      guard name != first.readUsername() else {
        throw UsageError("--second-username: the second user must not be the first")
      }
      return try CredentialSource.prepared(Array(name.utf8), password)
    case (nil, _?):
      throw UsageError(
        "a second password was given but no user name: set \(Self.nameVariable) or use --second-username")
    case (_?, nil):
      throw UsageError(
        "a second user name was given but no password: set \(Self.passwordVariable) or use --second-password-file")
    }
  }
}
