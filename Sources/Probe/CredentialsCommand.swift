internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import TURNClient

/// `stunclient credentials`: the configuration of a web page, with a credential made from a shared secret.
enum CredentialsCommand {
  /// The iceServers JSON on one line.
  static func run(_ arguments: ProbeRequest) throws(UsageError) -> String {
    guard let secret = try arguments.credentials.readSharedSecret() ?? CredentialSource.ask("Shared secret") else {
      throw UsageError("there is no secret: --secret-file FILE, or STUNCLIENT_SECRET")
    }
    let user = arguments.credentials.username
    if let user, user.utf8.count > 400 || user.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
      throw UsageError("--username: at most 400 bytes and no control characters")
    }
    var urls: [String] = []
    for text in arguments.operands {
      let uri: ServerURI
      do { uri = try ServerURI(parsing: text) } catch { throw UsageError("\(ServerURI.masked(text)): \(error)") }
      guard uri.scheme.isTURN else { throw UsageError("\(text): credentials are for turn: and turns: URIs") }
      urls.append(uri.description)
    }
    let made = CredentialSource.timeLimited(user, secret, lifetime: arguments.timeToLive)
    let name = JSONValue.string(String(decoding: made.username, as: UTF8.self))
    let password = JSONValue.string(String(decoding: made.password, as: UTF8.self))
    if urls.isEmpty {
      return JSONValue.record([
        ("username", name), ("credential", password), ("ttl", .whole(arguments.timeToLive.wholeSeconds)),
      ])
      .encode() + "\n"
    }
    let server: JSONValue = .record([("urls", .strings(urls)), ("username", name), ("credential", password)])
    return JSONValue.record([("iceServers", .array([server]))]).encode() + "\n"
  }
}
