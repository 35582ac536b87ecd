internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import System
internal import TURNClient

/// One URL of a deployment, with its credential.
struct IceServer {
  var uri: ServerURI
  var credential: LongTermCredential?
  /// The URL's position in the document: `iceServers[0].urls[1]`.
  var path: String
}

/// Reads the argument of `new RTCPeerConnection(…)`: an RTCConfiguration, a bare array of its servers, or one server.
enum IceServerList {
  /// Limit of URLs; real deployments have a few.
  static let limit = 256

  static func read(_ path: String) throws(UsageError) -> [IceServer] {
    let name = path == "-" ? "standard input" : path
    let content: [UInt8]
    do {
      content =
        path == "-" ? try StandardStreams.readInput(limit: .mebibytes(1)) : try Files.read(path, limit: .mebibytes(1))
    } catch {
      throw UsageError("\(name): \(error)")
    }
    let document: JSONValue
    do { document = try JSONValue.decode(content) } catch { throw UsageError("\(name): \(error)") }
    do throws(UsageError) { return try parse(document) } catch { throw UsageError("\(name): \(error.message)") }
  }

  static func parse(_ document: JSONValue) throws(UsageError) -> [IceServer] {
    let list: JSONValue = document["iceServers"] ?? (document.array != nil ? document : .array([document]))
    guard let entries = list.array else { throw UsageError("\"iceServers\" is not an array") }
    var servers: [IceServer] = []
    for (index, entry) in entries.enumerated() { try parse(entry, "iceServers[\(index)]", &servers) }
    guard !servers.isEmpty else { throw UsageError("there is no server in it") }
    guard servers.count <= limit else { throw UsageError("there are more than \(limit) URLs in it") }
    return servers
  }

  private static func parse(_ entry: JSONValue, _ path: String, _ servers: inout [IceServer]) throws(UsageError) {
    // Old browsers accepted "url"; some services still print it.
    guard let urls = entry["urls"] ?? entry["url"] else { throw UsageError("\(path) has no \"urls\"") }
    let texts: [JSONValue] = urls.array ?? [urls]
    let credential = try credential(of: entry, path)
    for (index, text) in texts.enumerated() {
      let here = urls.array == nil ? "\(path).urls" : "\(path).urls[\(index)]"
      guard let text = text.string else { throw UsageError("\(here) is not a string") }
      var uri: ServerURI
      do { uri = try ServerURI(parsing: text) } catch {
        throw UsageError("\(here): \(ServerURI.masked(text)): \(error)")
      }
      addHints(&uri, text, hasCredential: credential != nil)
      servers.append(IceServer(uri: uri, credential: uri.scheme.isTURN ? credential : nil, path: here))
    }
  }

  private static func credential(of entry: JSONValue, _ path: String) throws(UsageError) -> LongTermCredential? {
    guard let username = entry["username"]?.string, !username.isEmpty else {
      guard (entry["credential"]?.string ?? "").isEmpty else {
        throw UsageError("\(path) has a credential and no username")
      }
      return nil
    }
    if let credential = entry["credential"], let key = credential["macKey"]?.string,
      let token = credential["accessToken"]?.string
    {
      return try CredentialSource.token(kid: username, accessToken: token, key: key, path)
    }
    guard let password = entry["credential"]?.string, !password.isEmpty else {
      throw UsageError("\(path) has a username and no credential")
    }
    do throws(UsageError) {
      return try CredentialSource.prepared(Array(username.utf8), Array(password.utf8))
    } catch {
      throw UsageError("\(path): \(error.message)")
    }
  }

  /// Adds hints about forms that work here but not in a browser.
  private static func addHints(_ uri: inout ServerURI, _ text: String, hasCredential: Bool) {
    if !ServerURI.Scheme.allCases.contains(where: { text.lowercased().hasPrefix($0.rawValue + ":") }) {
      uri.hints.append("browsers refuse a URL without stun:, turn: or turns:")
    }
    if uri.scheme.isTURN, !hasCredential {
      uri.hints.append("browsers refuse turn: URLs without username and credential")
    }
    if uri.scheme == .turns, case .address = uri.host {
      uri.hints.append("Firefox refuses turns: URLs with an address: give a name")
    }
  }
}
