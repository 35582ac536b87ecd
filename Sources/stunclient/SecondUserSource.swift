internal import ClientPrograms
internal import NetIO
internal import TURNClient

/// Where `security` takes a second user from: options and the environment, or the shared secret that makes any number.
struct SecondUserSource: Sendable {
  var username: String?
  var passwordFile: String?

  private static let nameVariable = "STUNCLIENT_SECOND_USERNAME"
  private static let passwordVariable = "STUNCLIENT_SECOND_PASSWORD"

  /// Nil: there is none. `first`: where the first user comes from, and the secret if there is one.
  func read(beside first: CredentialSource, secret: [UInt8]?) throws(UsageError) -> LongTermCredential? {
    let environment = Environment.variables().filter { !$0.value.isEmpty }
    let name = username ?? environment[Self.nameVariable]
    let password: [UInt8]?
    if let passwordFile {
      password = try CredentialSource.readSecret(passwordFile)
    } else {
      password = environment[Self.passwordVariable].map { Array($0.utf8) }
    }
    switch (name, password) {
    case (nil, nil):
      guard let secret else { return nil }
      return CredentialSource.timeLimited(first.effectiveName + "-2", secret, lifetime: first.lifetime)
    case (let name?, let password?):
      guard name != first.readUsername() else {
        throw UsageError("--second-username: the second user is to be another than the first")
      }
      return try CredentialSource.prepared(Array(name.utf8), password)
    case (nil, _?): throw UsageError("a second password without --second-username, or \(Self.nameVariable)")
    case (_?, nil):
      throw UsageError("--second-username without --second-password-file, or \(Self.passwordVariable)")
    }
  }
}
